"""All dashboards, in the order in which one looks at them."""

from __future__ import annotations

from typing import Final

from ragwatch.catalogue import metric
from ragwatch.monitoring.boards_operation import INGESTION_BOARD, ITSELF_BOARD, RESILIENCE_BOARD
from ragwatch.monitoring.boards_quality import COST_BOARD, LATENCY_BOARD, overview, quality
from ragwatch.monitoring.panels import Board
from ragwatch.monitoring.promql import RATE, series
from ragwatch.monitoring.slo import BUNDLED, Slos, slos_of


def boards(slos: Slos, service: str | None = None) -> tuple[Board, ...]:
    """All dashboards with the colours of these objectives: a service's, or those of all that have none of their own."""
    return (
        overview(slos, service),
        LATENCY_BOARD,
        quality(slos, service),
        RESILIENCE_BOARD,
        COST_BOARD,
        INGESTION_BOARD,
        ITSELF_BOARD,
    )


BOARDS: Final[tuple[Board, ...]] = boards(slos_of(BUNDLED, "the bundled objectives"))
"""With the bundled objectives."""
_INFO = series("rag.app.info", scoped=True, version="=~$version")
_LABELS = tuple(label.prometheus for label in metric("rag.app.info").labels)
_RUNS = f"max by ({', '.join(_LABELS)})"
RUNNING: Final = f"{_RUNS} ({_INFO}) == 1"
"""What runs: a series for each thing that an app can be."""
CHANGES: Final = f"({RUNNING}) unless ({_RUNS} ({_INFO} offset {RATE}) == 1)"
"""What changed: what ``rag.app.info`` says that nobody said a moment ago, whichever agent it comes from.

The moment is never shorter than a step of the screen, else a month's view would step over most changes.
"""
CHANGE: Final = (
    "{{service}} {{version}}",
    "index {{index_version}}, prompt {{prompt_version}}, embeds with {{embedding_model}}, config {{config_hash}}",
    "environment,version",
)
"""A change's title, its text, and the labels that are its tags."""
