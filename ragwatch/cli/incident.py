"""An incident in one file: a ZIP of the queries of a stretch of time, with judgements, KPIs, versions, a picture.

``queries.jsonl`` holds what ``/api/queries`` gives, the newest first; the file is read by making an agent's directory
of it, so that every tool that reads one reads it too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from ragwatch.errors import ConfigError

if TYPE_CHECKING:
    from ragwatch.cli.source import Pairs
    from ragwatch.kpi.state import State

FORMAT = "ragwatch-incident/1"
MANIFEST, QUERIES, STATE, AGENT = "manifest.json", "queries.jsonl", "state.json", "agent.json"
BATCH = 2000
MANY = 5000
"""So many queries take a second to read: it is said."""


class Manifest(NamedTuple):
    """What an incident's file says of itself; times are seconds since the epoch."""

    made_s: float
    since_s: float
    queries: int
    source: str
    with_text: bool
    whole: bool
    """False where there were more queries than the file was to hold."""


def write(path: Path, manifest: Manifest, queries: Iterable[str], parts: dict[str, bytes]) -> None:
    """Write the file; ``ConfigError`` where it cannot be."""
    from ragwatch import __version__

    about = {"format": FORMAT, "ragwatch": __version__, **manifest._asdict()}
    try:
        with ZipFile(path, "w", ZIP_DEFLATED) as archive:
            archive.writestr(MANIFEST, json.dumps(about, indent=2))
            archive.writestr(QUERIES, "".join(f"{line}\n" for line in queries))
            for name, body in parts.items():
                archive.writestr(name, body)
    except OSError as error:
        raise ConfigError("file", f"{path} cannot be written: {error.strerror}", source="argument") from None


def is_incident(path: Path) -> bool:
    """Whether a file is a ZIP that says that it is an incident's."""
    try:
        with ZipFile(path) as archive:
            return str(json.loads(archive.read(MANIFEST)).get("format", "")).startswith("ragwatch-incident/")
    except (OSError, BadZipFile, KeyError, ValueError, AttributeError):
        return False


def queries_of(path: Path) -> Iterator[dict[str, Any]]:
    """The queries of the file, the newest first."""
    with ZipFile(path) as archive, archive.open(QUERIES) as lines:
        for line in lines:
            yield json.loads(line)


class IncidentFile:
    """An incident's file as a source of the tools. Its ``since`` counts back from when the file was made."""

    def __init__(self, path: Path) -> None:
        from ragwatch.cli.source import AgentFiles

        self.name = str(path)
        if not path.is_file():
            raise ConfigError("bundle", f"there is no file {path}", source="--bundle")
        if not is_incident(path):
            raise ConfigError("bundle", f"{path} is no file of `ragwatch bundle`", source="--bundle")
        with ZipFile(path) as archive:
            self._about = json.loads(archive.read(MANIFEST))
            state = json.loads(archive.read(STATE))
            self._agent = json.loads(archive.read(AGENT)) if AGENT in archive.namelist() else {}
        if self._about["format"] != FORMAT:
            problem = f"{path} is of a later ragwatch ({self._about['ragwatch']}); upgrade this one"
            raise ConfigError("bundle", problem, source="--bundle")
        if self._about["queries"] > MANY:
            print(f"reading {self._about['queries']:,} queries of {path}", file=sys.stderr)
        self._folder = tempfile.TemporaryDirectory(prefix="ragwatch-incident-")
        directory = Path(self._folder.name)
        _fill(directory, list(queries_of(path)), state)
        self._files = AgentFiles(directory)

    def queries(self, given: Pairs) -> dict[str, Any]:
        """As ``/api/queries``."""
        from ragwatch.agent.parameters import search_of

        wanted = search_of(given)
        if wanted.since_s is not None:
            wanted = wanted._replace(since_s=wanted.since_s - (time() - self._about["made_s"]))
        return self._files.search(wanted)

    def query(self, trace_id: str) -> dict[str, Any]:
        """As ``/api/queries/{trace_id}``."""
        return self._files.query(trace_id)

    def state(self) -> State:
        """The KPIs as they were."""
        return self._files.state()

    def about(self) -> dict[str, Any]:
        """What the agent was; empty in a file of an earlier ragwatch."""
        return self._agent


def _fill(directory: Path, queries: list[dict[str, Any]], state: dict[str, Any]) -> None:
    """Make an agent's directory of the queries, which come the newest first."""
    from ragwatch.agent import judgement_rows, query_rows, store
    from ragwatch.record import QueryRecord

    connection = store.open_store(directory / "pipeline.db")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    queries.reverse()
    for at in range(0, len(queries), BATCH):
        batch = queries[at : at + BATCH]
        query_rows.add_queries(connection, [QueryRecord.from_dict(query) for query in batch], len(queries))
        for query in batch:
            judgement_rows.restore(connection, query["trace_id"], query.get("judgements", ()))
    store.write_meta(connection, "engine", state)
    connection.execute("COMMIT")
    connection.close()
