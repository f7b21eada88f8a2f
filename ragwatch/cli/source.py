"""Where the tools read: a running agent's web port, or the files of its directory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from ragwatch.errors import ConfigError, NoAnswer

if TYPE_CHECKING:
    import argparse
    import sqlite3
    from http.client import HTTPConnection, HTTPResponse

    from ragwatch.agent.asked import Search
    from ragwatch.agent.search import Page
    from ragwatch.kpi.state import State

TOKEN, WEB_PORT, CONFIG = "RAGWATCH_AGENT_TOKEN", "RAGWATCH_AGENT_WEB_PORT", "RAGWATCH_AGENT_CONFIG"
TIMEOUT_S = 10.0
Pairs = Iterable[tuple[str, str]]


class Source(Protocol):
    """What the tools ask; each may raise ``NoAnswer``, and ``ParameterError`` for what cannot be read."""

    name: str

    def queries(self, given: Pairs) -> dict[str, Any]:
        """``{"queries": […], "next": cursor or None}`` for parameters of ``/api/queries``."""

    def query(self, trace_id: str) -> dict[str, Any]:
        """The queries of one trace, by a beginning of its id of four digits or more."""

    def state(self) -> State:
        """Every series of the KPIs, as committed."""

    def about(self) -> dict[str, Any]:
        """What the agent is: versions, settings in force with their sources, without secrets."""


def add_options(parser: argparse.ArgumentParser, *, bundle: bool = True) -> None:
    """The options that say where to read."""
    where = parser.add_argument_group("where to read")
    one = where.add_mutually_exclusive_group()
    one.add_argument("--agent", metavar="URL", help=f"a running agent (default: port {default_port()} of this host)")
    one.add_argument("--data-dir", type=Path, metavar="DIR", help="the agent's directory, which is read as it is")
    if bundle:
        one.add_argument("--bundle", type=Path, metavar="FILE", help="a file of `ragwatch bundle`")
    where.add_argument("--token", help=f"the agent's bearer token (default: {TOKEN} and its file)")


def source_of(args: argparse.Namespace) -> Source:
    """What the options name; ``ConfigError`` for what cannot be one."""
    if args.data_dir is not None:
        return AgentFiles(args.data_dir)
    if getattr(args, "bundle", None) is not None:
        from ragwatch.cli.incident import IncidentFile

        return IncidentFile(args.bundle)
    return RunningAgent(args.agent or f"http://127.0.0.1:{default_port()}", args.token)


def default_port() -> str:
    """The web port that the environment sets, else 9464."""
    return os.environ.get(WEB_PORT, "").strip() or "9464"


class RunningAgent:
    """An agent's web port."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.name = url.rstrip("/")
        parts = urlsplit(self.name if "://" in self.name else f"http://{self.name}")
        try:
            self._port = parts.port
        except ValueError:
            self._port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or self._port == -1:
            raise ConfigError("agent", f"{url!r} should read like http://127.0.0.1:9464", source="--agent")
        self._host, self._secure, self._path = parts.hostname, parts.scheme == "https", parts.path
        self._token = token
        self._connection: HTTPConnection | None = None

    def queries(self, given: Pairs) -> dict[str, Any]:
        """``/api/queries``."""
        return self._page(f"/api/queries?{urlencode(list(given))}", "queries")

    def query(self, trace_id: str) -> dict[str, Any]:
        """``/api/queries/{trace_id}``."""
        return self._page(f"/api/queries/{quote(trace_id, safe='')}", "queries")

    def state(self) -> State:
        """``/api/state``."""
        from ragwatch.kpi.state import State

        return State.from_json(self._page("/api/state", "state")["state"])

    def about(self) -> dict[str, Any]:
        """``/api/agent``; ``NoAnswer`` from an earlier ragwatch."""
        return self._page("/api/agent", "settings")

    @property
    def secrets(self) -> set[str]:
        """What may not be shown: the token, where there is one."""
        return {self._token} if self._token else set()

    def get(self, path: str) -> tuple[int, str, bytes]:
        """(status, content type, body) of a page; ``NoAnswer`` where nobody answers."""
        from http.client import HTTPException

        try:
            answer = self._ask(path)
            return answer.status, (answer.headers.get("Content-Type") or "nothing").split(";")[0], answer.read()
        except (OSError, HTTPException) as error:
            self._connection = None
            raise NoAnswer(
                f"no agent answers at {self.name}: {getattr(error, 'strerror', None) or error}; is `ragwatch agent` "
                "running? (--agent URL for another, --data-dir DIR reads its files)"
            ) from None

    def get_json(self, path: str) -> dict[str, Any]:
        """The object of a page; ``NoAnswer``, ``ConfigError`` or ``ParameterError`` for any other answer."""
        status, kind, body = self.get(path)
        try:
            found: Any = json.loads(body)
        except ValueError:
            found = None
        if status == 200 and isinstance(found, dict):
            return found
        raise self._refused(status, kind, found)

    def _page(self, path: str, holds: str) -> dict[str, Any]:
        found = self.get_json(path)
        if holds not in found:
            raise NoAnswer(f"{self.name} is no ragwatch agent: its JSON has no {holds!r}; see --agent")
        return found

    def _ask(self, path: str) -> HTTPResponse:
        from http.client import HTTPConnection, HTTPSConnection, RemoteDisconnected

        if self._token is None:
            self._token = known_token() or ""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        for last in (False, True):
            kept = self._connection is not None
            if self._connection is None:
                kind = HTTPSConnection if self._secure else HTTPConnection
                self._connection = kind(self._host, self._port, timeout=TIMEOUT_S)
            try:
                self._connection.request("GET", f"{self._path}{path}", headers=headers)
                return self._connection.getresponse()
            except (RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._connection = None
                if last or not kept:  # a kept connection may have been closed since
                    raise
        raise AssertionError

    def _refused(self, status: int, kind: str, found: Any) -> Exception:
        said = found.get("error") if isinstance(found, dict) else None
        if status == 401:
            return ConfigError("token", f"{self.name} wants the agent's bearer token", source="--token")
        if said is None:
            return NoAnswer(f"{self.name} is no ragwatch agent: it answers {status} with {kind}; see --agent")
        if status == 400:
            from ragwatch.agent.parameters import ParameterError

            name, _, problem = str(said).partition("=")
            return ParameterError(name, f"={problem}")
        traces = found.get("traces")
        return NoAnswer(f"{said}: {', '.join(traces)}" if traces else str(said))


class AgentFiles:
    """The files of an agent's directory, whether it runs or not."""

    def __init__(self, directory: Path) -> None:
        self.name = str(directory)
        self._directory = directory
        if not (directory / "pipeline.db").is_file():
            raise NoAnswer(
                f"{directory} is no agent's directory: it has no pipeline.db (see `ragwatch agent --directory`)"
            )

    def queries(self, given: Pairs) -> dict[str, Any]:
        """As ``/api/queries``."""
        from ragwatch.agent.parameters import search_of

        return self.search(search_of(given))

    def search(self, wanted: Search) -> dict[str, Any]:
        """A page of what is asked for."""
        from ragwatch.agent.search import find

        return self._read(lambda connection: find(connection, wanted))

    def query(self, trace_id: str) -> dict[str, Any]:
        """As ``/api/queries/{trace_id}``."""
        from ragwatch.agent.search import of_trace

        found = self._read(lambda connection: of_trace(connection, trace_id))
        traces = list(dict.fromkeys(query["trace_id"] for query in found["queries"]))
        if not traces:
            raise NoAnswer(f"no query of trace {trace_id} is kept")
        if len(traces) > 1:
            raise NoAnswer(f"{len(traces)} traces begin with {trace_id}: {', '.join(traces)}")
        return found

    def state(self) -> State:
        """The KPIs as committed."""
        from ragwatch.agent.view import View

        return View(self._directory).kpis()

    def about(self) -> dict[str, Any]:
        """What the agent that ran there last was."""
        from ragwatch.agent.about import read

        return read(self._directory)

    def _read(self, ask: Callable[[sqlite3.Connection], Page]) -> dict[str, Any]:
        import sqlite3

        from ragwatch.agent.search import page_json

        path = self._directory / "pipeline.db"
        try:
            connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
            try:
                connection.execute("BEGIN")
                found: dict[str, Any] = json.loads(page_json(ask(connection)))
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise NoAnswer(f"{path} cannot be read: {error}") from None
        return found


def known_token() -> str | None:
    """The token of the agent's own settings: a variable, a file, the secrets directory."""
    from ragwatch.config.variables import Variables

    found = Variables().get(TOKEN)
    if found is None and os.environ.get(CONFIG):
        from ragwatch.config.agent import PREFIX, AgentSettings
        from ragwatch.config.loader import attempt

        made, _ = attempt(AgentSettings, {}, prefix=PREFIX, file=Path(os.environ[CONFIG]), file_source=CONFIG)
        if isinstance(made, AgentSettings) and made.token is not None:
            found = made.token.get_secret_value()
    return found
