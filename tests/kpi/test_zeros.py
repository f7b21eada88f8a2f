"""What begins at 0: a healthy agent shows what it could have counted."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import ragwatch.conventions
from ragwatch.conventions.openinference import WHOLE_LISTS
from ragwatch.kpi.state import State
from ragwatch.kpi.zeros import PACKED, fill

FOLDER = Path(ragwatch.conventions.__file__).parent
UNPACK = {"unpack", "mapping"}
LISTED = {"gen_ai.input.messages", "gen_ai.output.messages", *WHOLE_LISTS.values()}
"""Unpacked by a name that is looked up (``genai._texts``, OpenInference's lists as one value)."""


def unpacked() -> set[str]:
    """The names that conventions give to what they unpack."""
    found = set(LISTED)
    for path in FOLDER.rglob("*.py"):
        module = import_module(f"ragwatch.conventions.{'.'.join(path.relative_to(FOLDER).with_suffix('').parts)}")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in UNPACK and len(node.args) == 2:
                name = node.args[1]
                if isinstance(name, ast.Constant):
                    found.add(name.value)
                elif isinstance(name, ast.Name) and hasattr(module, name.id):
                    found.add(getattr(module, name.id))
            if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "unreadable":
                found |= {node.slice.value} if isinstance(node.slice, ast.Constant) else set()
    return found


def test_every_attribute_that_conventions_unpack_begins_at_zero() -> None:
    assert unpacked() == set(PACKED)


def test_a_healthy_agent_says_that_it_could_read_everything() -> None:
    state = State()
    state.series("ragwatch.build.info")
    state.metrics["ragwatch.build.info"] = {("1", "3.13", ""): 1.0}
    fill(state)
    assert state.series("ragwatch.agent.unreadable") == {(name,): 0.0 for name in PACKED}


def test_the_first_opening_of_a_breaker_is_an_increase() -> None:
    state = State()
    state.metrics["rag.breaker.state"] = {("bot", "prod", "search", "closed"): 1.0}
    fill(state)
    shown = {key[2:] for key in state.series("rag.breaker.transitions")}
    assert shown == {
        ("search", "closed", "open"),
        ("search", "open", "half_open"),
        ("search", "half_open", "closed"),
        ("search", "half_open", "open"),
    }


def test_the_first_retries_of_a_step_are_an_increase() -> None:
    state = State()
    state.increment("rag.step.calls", ("bot", "prod", "retrieve", "ok"))
    fill(state)
    assert state.series("rag.step.retries") == {("bot", "prod", "retrieve"): 0.0}
