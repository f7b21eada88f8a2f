"""Text files that users hand in, read so that what is wrong is said with file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragwatch.demo.errors import DemoInputError


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


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line that is not blank; raises ``DemoInputError``."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
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
