"""What the app runs, as ``rag.app.info``: version, configuration, index, model, prompt; a change is logged."""

from __future__ import annotations

import threading
from time import time_ns
from typing import Any, Protocol

from opentelemetry import trace

from ragwatch import semconv
from ragwatch.config import changes
from ragwatch.sdk.guard import fault
from ragwatch.sdk.recorder import Recorder
from ragwatch.sdk.resilience import Notice

METRIC = "rag.app.info"
LABELS = ("version", "config_hash", "index_version", "embedding_model", "prompt_version")
ATTRIBUTES = (
    semconv.APP_VERSION,
    semconv.APP_CONFIG_HASH,
    semconv.APP_INDEX_VERSION,
    semconv.APP_EMBEDDING_MODEL,
    semconv.PROMPT_VERSION,
)
"""The same on each query, so that its record says what answered it."""


class Configuration(Protocol):
    """A configuration that has a hash: ``ProductionConfig``, or the app's own."""

    @property
    def config_hash(self) -> str:
        """What changes when a setting changes."""


class _Said:
    """What the app has said of itself; it outlives ``shutdown``, since the app is still the same."""

    lock = threading.Lock()
    values: dict[str, Any] = {}  # noqa: RUF012  (the one place of this process)
    listening: AppInfo | None = None


def app_info(
    *,
    version: str | None = None,
    index_version: str | None = None,
    embedding_model: str | None = None,
    prompt_version: str | None = None,
    config: Configuration | str | None = None,
) -> None:
    """Take what the app says of itself; what is None stays as it was."""
    given = {
        "version": version,
        "config_hash": config,
        "index_version": index_version,
        "embedding_model": embedding_model,
        "prompt_version": prompt_version,
    }
    with _Said.lock:
        info = _Said.listening
        before = None if info is None else info.labels()
        had_spoken = bool(_Said.values)
        _Said.values.update({name: value for name, value in given.items() if value is not None})
        after = None if info is None else info.labels()
        if info is not None:
            info.mark()
    if info is not None and had_spoken and before != after:
        info.changed(before or (), after or ())


def forget() -> None:
    """Know nothing of the app any more."""
    with _Said.lock:
        _Said.values.clear()


def _hash_of(config: Configuration) -> str | None:
    try:
        return str(config.config_hash)
    except Exception as error:  # noqa: BLE001  (the app's own configuration; unknown is absent)
        fault("app_info", error)
        return None


class AppInfo:
    """Sets the gauge of one recorder, and logs what changes, from ``init`` to ``shutdown``."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._stop = changes.listen(self._hear)
        _Said.listening = self
        self.mark()

    def labels(self) -> tuple[str, ...]:
        """The labels' values; empty where nothing is known."""
        said = dict(_Said.values)
        config = said.get("config_hash")
        if config is not None and not isinstance(config, str):
            said["config_hash"] = _hash_of(config)
        said.setdefault("version", self._recorder.resource.attributes.get(semconv.SERVICE_VERSION))
        return tuple("" if said.get(name) is None else str(said[name]) for name in LABELS)

    def mark(self) -> None:
        """Mark the queries that begin from now on; with nothing that their resource says already."""
        version = str(self._recorder.resource.attributes.get(semconv.SERVICE_VERSION) or "")
        said = dict(zip(ATTRIBUTES, self.labels(), strict=True))
        if said[semconv.APP_VERSION] == version:
            del said[semconv.APP_VERSION]
        self._recorder.app = {key: value for key, value in said.items() if value} or None

    def collect(self) -> None:
        """Bring the engine's gauge, and the mark of the queries, up to date: one series, none for nothing known."""
        recorder = self._recorder
        labels = self.labels()
        self.mark()
        with recorder.lock:
            recorder.engine.state.metrics.pop(METRIC, None)
            if any(labels):
                recorder.engine.set_totals({(METRIC, labels): 1.0}, recorder.service, recorder.environment)

    def changed(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Log that the app runs something else now."""
        fields: dict[str, Any] = {}
        for name, old, new in zip(LABELS, before, after, strict=True):
            if old != new:
                fields[name] = {"from": old, "to": new}
        self._log("info", semconv.EVENT_APP_CHANGED, fields)

    @staticmethod
    def forked() -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        _Said.lock = threading.Lock()

    def close(self) -> None:
        """Stop listening."""
        self._stop()
        _Said.listening = None

    def _hear(self, change: changes.Change) -> None:
        try:
            fields: dict[str, Any] = {"config": change.config, "settings": list(change.settings)}
            if isinstance(change, changes.ConfigChanged):
                fields["config_hash"] = {"from": change.before, "to": change.after}
                self._log("info", semconv.EVENT_CONFIG_CHANGED, fields)
                self.mark()
            else:
                fields["config_hash"] = change.kept
                self._log("error", semconv.EVENT_CONFIG_REJECTED, fields)
        except Exception as error:  # noqa: BLE001  (guests behave)
            fault("app_info", error)

    def _log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        context = trace.get_current_span().get_span_context()
        held = {"service": self._recorder.service, **fields}
        self._recorder.notice(Notice(time_ns(), level, event, held, context.trace_id, context.span_id))
