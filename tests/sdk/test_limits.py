"""OpenTelemetry's limits hold, and what they drop is counted on the span."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext

import ragwatch
from tests.sdk.conftest import Watched
from tests.support.otlp_values import attributes_of
from tests.support.procs import Process


@pytest.mark.parametrize("watched", [{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "8"}], indirect=True)
def test_no_value_is_longer_than_the_limit(watched: Watched) -> None:
    with ragwatch.tool("t") as step:
        step.set("text", "x" * 100).set("list", ["y" * 100, "z"]).set("number", 10**12)
        step.add_event("e", {"text": "x" * 100})
    span = watched.span("tool")
    found = attributes_of(span.attributes)
    assert (found["text"], found["list"], found["number"]) == ("x" * 8, ("y" * 8, "z"), 10**12)
    assert attributes_of(span.events[0].attributes) == {"text": "x" * 8}


@pytest.mark.parametrize("watched", [{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "4"}], indirect=True)
def test_attributes_over_the_limit_are_dropped_and_counted(watched: Watched) -> None:
    with trace.get_tracer("other").start_as_current_span("s") as span:
        for number in range(10):
            span.set_attribute(f"a{number}", number)
        span.set_attribute("a0", "again")
    (found,) = watched.spans()
    assert attributes_of(found.attributes) == {"a0": "again", "a1": 1, "a2": 2, "a3": 3}
    assert found.dropped_attributes_count == 6


@pytest.mark.parametrize(
    "watched", [{"OTEL_SPAN_EVENT_COUNT_LIMIT": "2", "OTEL_SPAN_LINK_COUNT_LIMIT": "1"}], indirect=True
)
def test_events_and_links_over_the_limit_are_dropped_and_counted(watched: Watched) -> None:
    link = Link(SpanContext(1, 2, is_remote=True))
    with trace.get_tracer("other").start_as_current_span("s", links=[link]) as span:
        for number in range(5):
            span.add_event(f"e{number}")
        for _ in range(3):
            span.add_link(link.context)
    (found,) = watched.spans()
    assert ([event.name for event in found.events], found.dropped_events_count) == (["e0", "e1"], 3)
    assert (len(found.links), found.dropped_links_count) == (1, 3)


@pytest.mark.parametrize(
    "variable",
    ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT"],
)
def test_a_limit_that_cannot_be_read_is_said_and_the_app_is_watched_all_the_same(variable: str) -> None:
    code = (
        "import ragwatch\nragwatch.init(service='a')\nwith ragwatch.query('q'): pass\n"
        f"import os\nprint(ragwatch.metrics().query_count, ragwatch.telemetry()['faults'], os.environ[{variable!r}])"
    )
    with Process.python("-c", code, env={variable: "many", "OTEL_TRACES_EXPORTER": "none"}) as process:
        assert process.wait(30) == 0, process.output
        assert process.stdout[-1] == "1 {} many"
        assert sum(variable in line for line in process.stderr) == 1
