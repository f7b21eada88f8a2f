"""The line of each key, whatever the file looks like."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwatch.config.files import read_file

KEYS = st.text(
    st.characters(codec="ascii", categories=["L", "N"], include_characters=' -_"\\{}[]:,.#'), min_size=1, max_size=8
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=10), st.lists(st.text('{}[]:",', max_size=4))
)
TREES = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
)


def keys_of(data: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in data.items():
        found.append((*above, key))
        if isinstance(value, dict):
            found += keys_of(value, (*above, key))
    return found


@settings(deadline=None, max_examples=60)
@given(TREES, st.integers(0, 3))
def test_every_key_of_json_has_its_line(data: dict[str, Any], indent: int) -> None:
    data.pop("$schema", None)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "c.json"
        text = json.dumps(data, indent=indent)
        path.write_text(text)
        found = read_file(path, "test")
    assert found.values == data
    assert list(found.lines) == keys_of(data)
    lines = text.split("\n")
    for keys, line in found.lines.items():
        assert f"{json.dumps(keys[-1])}:" in lines[line - 1]


@settings(deadline=None, max_examples=60)
@given(TREES)
def test_every_key_of_yaml_has_its_line(data: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "c.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        found = read_file(path, "test")
    assert found.values == data
    assert set(found.lines) == set(keys_of(data))


def test_lines_of_toml() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "c.toml"
        path.write_text('# top\na = 1\n\n[b."c d"]\n"e" = """\nf = 2\n"""\n\n[[g]]\nh = 1\n[b]\ni.j = 3\n')
        found = read_file(path, "test")
    assert found.lines[("a",)] == 2
    assert found.lines[("b", "c d")] == 4
    assert found.lines[("b", "c d", "e")] == 5
    assert found.lines[("b", "i", "j")] == 12
    assert found.source(("b", "i", "j")) == f"{path}:12: b.i.j"
    assert ("b", "c d", "f") not in found.lines


def test_yaml_merges_are_no_duplicates() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "c.yml"
        path.write_text("base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3\n")
        found = read_file(path, "test")
    assert found.faults == ()
    assert found.values["own"] == {"a": 1, "b": 3}


def test_aliases_that_stand_for_billions_of_keys_cost_nothing(tmp_path: Path) -> None:
    levels = ["a0: &a0 {x: 1, y: 2}"]
    levels += [f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 40)]
    (tmp_path / "c.yaml").write_text("\n".join(levels))
    assert len(read_file(tmp_path / "c.yaml", "test").lines) < 200
    (tmp_path / "c.yaml").write_text("a: &a\n  b: *a\n")
    assert read_file(tmp_path / "c.yaml", "test").lines[("a", "b")] == 2
