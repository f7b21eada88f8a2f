"""Conventions in their order, and those that others install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ragwatch.conventions.keys import Keys
from ragwatch.conventions.read import fields_of
from ragwatch.conventions.registry import _recognise, builtin, conventions, documented, recognise
from ragwatch.conventions.table import STRUCTURE
from ragwatch.record import Step
from tests.support.captures import GIVEN, GOLDEN, Came, spans_of
from tests.support.paths import PACKAGES, ROOT

PLUGIN = """
from ragwatch.conventions.table import Convention, Field, Rule, text

CONVENTION = Convention(
    "acme", "Acme", rules=(Rule("acme.kind", {"lookup": "retrieve"}),),
    fields=(Field("data_source", ("acme.shelf",), text),),
)
"""
ASKS = """
from ragwatch.conventions.registry import conventions, recognise
from ragwatch.conventions.read import read_step
from tests.support.foreign import spans_of, spun

(came,) = spans_of(spun("x", {"acme.kind": "lookup", "acme.shelf": "B"}))
seen = recognise(came.raw, came.scope)
step = read_step(came.raw, seen, seen.role)
print([one.name for one in conventions()].count("acme"), step.step, step.data_source, step.extra)
"""


def test_a_convention_is_added_by_an_installed_package_and_a_broken_one_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "acme_spans.py").write_text(PLUGIN)
    info = tmp_path / "acme_spans-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-spans\nVersion: 1.0\n")
    points = "[ragwatch_convention]\nacme = acme_spans:CONVENTION\nbroken = no_such_module:X\nodd = acme_spans:PLUGIN\n"
    (info / "entry_points.txt").write_text(points.replace("acme_spans:PLUGIN", "acme_spans:text"))
    env = {"PYTHONPATH": f"{tmp_path}:{PACKAGES}:{ROOT}", "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "retrieve", "B", "{'convention':", "'acme'}"]
    assert "'broken' cannot be loaded" in done.stderr
    assert "'odd' is no Convention" in done.stderr


def test_what_tells_comes_before_what_guesses() -> None:
    names = [convention.name for convention in conventions()]
    assert names[0] == "openinference"
    assert names.index("genai") < names.index("openllmetry") < names.index("names")
    assert len({convention.name for convention in documented()}) == len(documented())
    assert {convention.name for convention in builtin()} <= set(names)


def test_fields_of_the_tables_are_fields_of_a_step_or_a_query() -> None:
    known = {*Step._fields, "session", "user", "tenant", "prompt_version", "question", "answer"}
    internal = {"named_model", "server_first_token_s"}
    found = {field.name for convention in builtin() for field in convention.fields}
    assert found <= known | internal


def captured() -> list[Came]:
    return [came for folder in (GIVEN, GOLDEN) for path in sorted(folder.rglob("*.jsonl")) for came in spans_of(path)]


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_span_is_taken_for_what_it_would_be_taken_for_alone(rng: Random) -> None:
    """What was found of spans alike in what settles it is remembered: nothing else may settle it."""
    for came in rng.sample(SPANS, 20):
        raw, other = came.raw, rng.choice(SPANS).raw
        held = dict(raw.attributes)
        if held:
            key = rng.choice(list(held))
            held[key] = rng.choice([other.attributes.get(key, held[key]), other.name, 7, (held[key], "x"), ""])
        raw = raw._replace(
            attributes=held,
            name=rng.choice([raw.name, raw.name, other.name]),
            kind=rng.choice([raw.kind, other.kind]),
            status_code=rng.choice([raw.status_code, other.status_code]),
        )
        scope = rng.choice([came.scope, came.scope, "qdrant_client", ""])
        for _ in range(2):
            found, alone = recognise(raw, scope), _recognise(Keys(tuple(raw.attributes)), raw, scope)
            assert (found.role, found.convention, found.weak, found.is_run) == (
                alone.role, alone.convention, alone.weak, alone.is_run
            )  # fmt: skip
            if found.role not in STRUCTURE:
                assert fields_of(raw, found, found.role) == fields_of(raw, alone, alone.role)


SPANS = captured()
