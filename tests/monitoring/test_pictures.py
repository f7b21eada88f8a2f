"""The pictures of the dashboards say what Grafana's annotations say: what changed, and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from ragwatch.monitoring import pictures
from ragwatch.monitoring.agent_samples import AgentSource
from ragwatch.monitoring.boards import BOARDS
from ragwatch.monitoring.pictures import changes, draw_board
from ragwatch.monitoring.promql_eval import Samples

OVERVIEW = BOARDS[0]


def seen(deployed_at: int) -> AgentSource:
    """A minute of an app that runs with another index from a second on."""
    samples = Samples()
    for second in range(60):
        app = {"service": "bot", "environment": "prod"}
        runs = {**app, "version": "1", "index_version": "old" if second < deployed_at else "new", "config_hash": ""}
        ended = {**app, "outcome": "ok", "cache": "miss"}
        counts = [("rag_query_duration_seconds_count", ended, 3.0 * second)]
        samples.add(1000.0 + second, [("rag_app_info", runs, 1.0), *counts])
    return AgentSource(samples)


def purple(path: Path) -> int:
    """How many of a picture's points are in the colour of changes."""
    found = np.abs(imread(path)[..., :3] - to_rgb(pictures._PURPLE)).max(axis=2)
    return int((found < 0.1).sum())


def test_a_picture_marks_what_changed_and_says_what(tmp_path: Path) -> None:
    assert changes(seen(60)) == [], "what ran before is no change"
    assert changes(seen(30)) == [(1030.0, "bot 1, index new")]
    for deployed_at in (30, 60):
        draw_board(OVERVIEW, seen(deployed_at), tmp_path / f"{deployed_at}.png")
    assert purple(tmp_path / "60.png") == 0
    assert purple(tmp_path / "30.png") > 50
