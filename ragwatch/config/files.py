"""Files of settings: JSON, YAML or TOML by extension, each key with the line it stands on."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ragwatch.errors import ConfigError

Keys = tuple[str, ...]
KINDS = (".json", ".yaml", ".yml", ".toml")
_JSON_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_TOML_TABLE = re.compile(r"^\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_TOML_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_TOML_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")


@dataclass(frozen=True, slots=True)
class FileData:
    """What a file says; ``lines`` has the line of each key, and ``faults`` the keys that stand in it twice."""

    path: Path
    values: dict[str, Any] = field(repr=False)
    lines: dict[Keys, int]
    faults: tuple[ConfigError, ...] = ()

    def source(self, keys: Keys) -> str:
        """Where a key stands: ``production.yaml:12: redis.pool``."""
        line = self.lines.get(keys)
        return f"{self.path}{'' if line is None else f':{line}'}: {'.'.join(keys)}"


def read_file(path: Path, source: str) -> FileData:
    """The settings of a file; ``$schema`` is for editors and left out.

    ``ConfigError`` with the position where it cannot be read. No text of the file is in the error: it may be a secret.
    """
    if path.suffix.lower() not in KINDS:
        raise ConfigError("config", f"{path} should end in {', '.join(KINDS)}", source=source)
    problem = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"{path} cannot be read: byte {error.start} is no UTF-8"
    if problem:
        raise ConfigError("config", problem, source=source)
    data, positions, problem = _parsed(path.suffix.lower(), text)
    if problem:
        raise ConfigError("config", f"cannot be parsed: {path}{problem}", source=source)
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ConfigError("config", f"{path} holds no settings: a mapping is wanted", source=source)
    strange = next((keys for keys, value in _walk(data) if not isinstance(keys[-1], str)), None)
    if strange is not None:
        raise ConfigError("config", f"{path}: the key {strange[-1]!r} should be text", source=source)
    lines: dict[Keys, int] = {}
    faults = []
    for keys, line in positions:
        if keys in lines:
            name = ".".join(keys)
            faults.append(
                ConfigError(name, f"stands in the file twice, in line {lines[keys]} too", source=f"{path}:{line}")
            )
        lines[keys] = line
    data.pop("$schema", None)
    return FileData(path, data, lines, tuple(faults))


def _parsed(suffix: str, text: str) -> tuple[Any, list[tuple[Keys, int]], str]:
    """The data, the line of each key in order, and what is wrong with the text, with its position."""
    try:
        if suffix == ".json":
            data = json.loads(text)
            return data, list(_json_lines(text)), ""
        if suffix == ".toml":
            data = tomllib.loads(text)
            return data, list(_toml_lines(text, data)), ""
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return yaml.safe_load(text), list(_yaml_lines(node, (), set())), ""
    except json.JSONDecodeError as error:
        return None, [], f":{error.lineno}:{error.colno}: {error.msg}"
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = f":{found[1]}:{found[2]}" if found else ""
        return None, [], f"{place}: {_QUOTED.sub('…', str(error).split(' (at ')[0])}"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        return None, [], f"{place}: {_QUOTED.sub('…', str(getattr(error, 'problem', None) or 'is no YAML'))}"
    except (ValueError, RecursionError) as error:
        return None, [], f": {type(error).__name__}: it is nested or sized beyond reason"


def _walk(
    data: dict[Any, Any], above: tuple[Any, ...] = (), seen: set[int] | None = None
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    seen = set() if seen is None else seen
    for key, value in data.items():
        yield (*above, key), value
        if isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            yield from _walk(value, (*above, key), seen)


def _json_lines(text: str) -> Iterator[tuple[Keys, int]]:
    """The keys of valid JSON: a string before a colon; lists are not gone into."""
    path: list[str] = []
    opened: list[str] = []
    lists = 0
    line, at = 1, 0
    held: tuple[str, int] | None = None
    for token in _JSON_TOKEN.finditer(text):
        line += text.count("\n", at, token.start())
        at = token.start()
        word = token[0]
        if word == "[":
            lists += 1
        elif word == "]":
            lists -= 1
        elif lists:
            continue
        elif word == "{":
            opened.append("{")
        elif word == "}":
            opened.pop()
            del path[max(0, len(opened) - 1) :]
        elif word == ":" and held is not None:
            del path[len(opened) - 1 :]
            path.append(json.loads(held[0]))
            yield tuple(path), held[1]
        held = (word, line) if word.startswith('"') else None


def _yaml_lines(node: yaml.Node | None, above: Keys, seen: set[int]) -> Iterator[tuple[Keys, int]]:
    if not isinstance(node, yaml.MappingNode) or id(node) in seen:
        return  # an alias has no lines of its own, and many of them may stand for billions of keys
    seen.add(id(node))
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            keys = (*above, str(key.value))
            yield keys, key.start_mark.line + 1
            yield from _yaml_lines(value, keys, seen)


def _toml_lines(text: str, data: dict[str, Any]) -> Iterator[tuple[Keys, int]]:
    """The keys of valid TOML, as far as they stand at the beginning of a line."""
    there = {keys for keys, _ in _walk(data)}
    seen: set[Keys] = set()
    table: Keys = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _TOML_TABLE.match(line)
        key = None if header else _TOML_KEY.match(line)
        if header is None and key is None:
            continue
        parts = tuple(part.strip("\"'") for part in _TOML_PART.findall((header or key)[1]))  # type: ignore[index]
        if header:
            table = parts
        keys = parts if header else (*table, *parts)
        if keys in there and keys not in seen:
            seen.add(keys)
            yield keys, number
