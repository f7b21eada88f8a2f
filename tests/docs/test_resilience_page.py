"""The examples of docs/resilience.md run as they stand, section by section."""

from __future__ import annotations

import contextvars
import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.redis import redis_running

PAGE = (ROOT / "docs" / "resilience.md").read_text(encoding="utf-8")
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}
WANTED = {
    "Breaker", "Retry", "Deadline", "Limits", "Order", "Sharing through Redis", "Observers", "KPIs",
    "Document processing", "The well-known names",
}  # fmt: skip


def run(section: str, blocks: list[str]) -> None:
    names: dict[str, object] = {"__name__": "example"}
    for block in blocks:
        contextvars.copy_context().run(exec, compile(block, f"docs/resilience.md, {section}", "exec"), names)


def test_the_page_has_its_sections() -> None:
    assert set(SECTIONS) >= WANTED
    assert all(SECTIONS[name] for name in WANTED)


@pytest.mark.parametrize("section", sorted(WANTED - {"Sharing through Redis"}))
def test_examples(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(section, SECTIONS[section])


def test_examples_of_sharing(tmp_path: Path) -> None:
    with redis_running(tmp_path) as server:
        blocks = SECTIONS["Sharing through Redis"]
        assert "redis://localhost:6379/0" in blocks[0]
        run("Sharing", [block.replace("redis://localhost:6379/0", server.url) for block in blocks])
