"""The generated dashboards with other objectives: what depends on them is put into the JSON that ships.

The files are made by Grafana's own library, which is a tool of development; here their thresholds, the queries and the
words that name an objective are replaced by those of the declared panels, so that a user needs nothing but ragwatch.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ragwatch.errors import RagwatchError
from ragwatch.monitoring.boards import boards
from ragwatch.monitoring.panels import Board, Panel
from ragwatch.monitoring.slo import Slos

UID_LENGTH = 40
"""Grafana takes no longer one."""
_HERE = Path(__file__)
FOLDERS = (_HERE.parent / "grafana", _HERE.parents[2] / "dashboards" / "grafana")
"""Where the generated files are: in a wheel, in a checkout."""


def board_files(slos: Slos, service: str | None = None) -> dict[str, str]:
    """File name → JSON of every dashboard, with the thresholds of these objectives.

    With ``service`` they are that service's, which is chosen when they are opened; titles and uids name it, so that
    they stand beside those of all others. Raises ``RagwatchError`` where the generated files are missing.
    """
    folder = next((path for path in FOLDERS if path.is_dir()), None)
    if folder is None:
        raise RagwatchError(f"the generated dashboards are missing: neither {FOLDERS[0]} nor {FOLDERS[1]} is there")
    found = {}
    for board in boards(slos, service):
        held = json.loads((folder / f"{board.uid}.json").read_text(encoding="utf-8"))
        _fill(held, board)
        if service is not None:
            _name(held, service)
        found[f"{held['uid']}.json"] = json.dumps(held, sort_keys=True, indent=2) + "\n"
    return found


def uid_of(uid: str, service: str) -> str:
    """The uid of a service's own dashboard: as it reads, and never another's.

    >>> uid_of("ragwatch-overview", "support-bot"), uid_of("ragwatch-overview", "Support Bot")
    ('ragwatch-overview-support-bot', 'ragwatch-overview-support-bot-17f360')
    """
    slug = re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")
    own = f"{uid}-{slug}"
    if slug == service and len(own) <= UID_LENGTH:
        return own
    mark = hashlib.sha256(service.encode()).hexdigest()[:6]
    return f"{own[: UID_LENGTH - len(mark) - 1].rstrip('-')}-{mark}"


def _fill(held: dict[str, Any], board: Board) -> None:
    by_title = {panel["title"]: panel for panel in held["panels"] if panel["type"] != "row"}
    for panel in board.panels:
        _fill_panel(by_title[panel.title], panel)


def _fill_panel(held: dict[str, Any], panel: Panel) -> None:
    held["description"] = panel.description
    if panel.levels:
        steps = [{"color": colour, "value": value} for value, colour in panel.levels]
        held["fieldConfig"]["defaults"]["thresholds"] = {"mode": "absolute", "steps": steps}
    first = held["targets"][0]
    held["targets"] = [
        {**(held["targets"][place] if place < len(held["targets"]) else first), "expr": target.expr}
        | {"legendFormat": target.legend, "refId": chr(ord("A") + place)}
        for place, target in enumerate(panel.targets)
    ]


def _name(held: dict[str, Any], service: str) -> None:
    held["title"] = f"{held['title']}: {service}"
    held["uid"] = uid_of(held["uid"], service)
    for panel in held["panels"]:
        for link in panel.get("links", ()):
            link["url"] = f"/d/{uid_of(link['url'].removeprefix('/d/'), service)}"
    chosen = next(variable for variable in held["templating"]["list"] if variable["name"] == "service")
    chosen["current"] = {"selected": True, "text": [service], "value": [service]}
