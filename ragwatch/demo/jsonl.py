"""Text files that users hand in, read so that what is wrong is said with file and line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragwatch.demo.errors import DemoInputError

log = logging.getLogger("ragwatch")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; raises ``DemoInputError``."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DemoInputError(path, "not UTF-8", line=line, advice="save the file as UTF-8") from None
    except PermissionError:
        raise DemoInputError(path, "no permission to read", advice="check the owner and mode of the file") from None
    except FileNotFoundError:
        raise DemoInputError(path, "no such file", advice="check the path") from None
    except OSError as error:
        raise DemoInputError(path, f"cannot be read ({error.strerror})") from None


def grown_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, line) of a file that a program adds objects to; raises ``DemoInputError``.

    Blank lines are left out, and so is, with a warning, a last one that is the beginning of an object and has no end:
    the program, or the machine, ended while it was written.
    """
    lines = [(number, line) for number, line in enumerate(read_text(path).split("\n"), 1)]
    if len(lines) > 1 and is_cut_off(lines[-1][1]):
        log.warning("%s: line %d is cut off, and left out", path, lines.pop()[0])
    return ((number, line) for number, line in lines if line.strip())


def is_cut_off(line: str) -> bool:
    """Whether it is the beginning of a JSON object.

    >>> is_cut_off('{"question": "wh'), is_cut_off('{"question": "why"}'), is_cut_off("why")
    (True, False, False)
    """
    if not line.lstrip().startswith("{"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def read_jsonl(path: Path, *, grows: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line that is not blank; raises ``DemoInputError``.

    ``grows``: as ``grown_lines``.
    """
    lines = grown_lines(path) if grows else enumerate(read_text(path).split("\n"), 1)
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DemoInputError(
                path, f"not JSON ({error})", line=number, advice="write one JSON object a line"
            ) from None
        if not isinstance(value, dict):
            raise DemoInputError(path, "not a JSON object", line=number, advice='write {"id": …, "text": …}')
        yield number, value


def text_field(path: Path, line: int, value: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of the named fields, as text; raises ``DemoInputError`` where there is none."""
    for name in names:
        if isinstance(value.get(name), str | int):
            return str(value[name])
    wanted = " or ".join(f'"{name}"' for name in names)
    found = ", ".join(f'"{name}"' for name in value) or "no field"
    raise DemoInputError(path, f"no {wanted}", line=line, advice=f"the line has {found}")
