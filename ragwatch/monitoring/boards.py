"""All dashboards, in the order in which one looks at them."""

from __future__ import annotations

from typing import Final

from ragwatch.monitoring.boards_operation import INGESTION_BOARD, ITSELF_BOARD, RESILIENCE_BOARD
from ragwatch.monitoring.boards_quality import COST_BOARD, LATENCY_BOARD, OVERVIEW_BOARD, QUALITY_BOARD
from ragwatch.monitoring.panels import Board
from ragwatch.monitoring.promql import series

BOARDS: Final[tuple[Board, ...]] = (
    OVERVIEW_BOARD,
    LATENCY_BOARD,
    QUALITY_BOARD,
    RESILIENCE_BOARD,
    COST_BOARD,
    INGESTION_BOARD,
    ITSELF_BOARD,
)
_INFO = series("rag.app.info", scoped=True, version="=~$version")
CHANGES: Final = f"({_INFO} == 1) unless ({_INFO} offset 5m == 1)"
"""What changed: a series of ``rag.app.info`` that was not there five minutes ago."""
