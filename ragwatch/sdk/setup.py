"""``init``, ``app_info``, ``flush``, ``shutdown``, ``metrics``, ``telemetry``: the SDK of a process, on and off."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import sampling

from ragwatch import __version__, semconv
from ragwatch.config.otel_env import Content, SdkSettings, read_settings
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.kpi.state import State
from ragwatch.sdk import guard
from ragwatch.sdk.app_info import AppInfo, Configuration
from ragwatch.sdk.app_info import app_info as say
from ragwatch.sdk.own_runtime import OwnRuntime
from ragwatch.sdk.provider import Provider
from ragwatch.sdk.recorder import Recorder
from ragwatch.sdk.resilience import Resilience
from ragwatch.sdk.runtime import Active, ForeignRuntime
from ragwatch.sdk.worker import Worker

_lock = threading.Lock()


@dataclass(slots=True)
class _Process:
    """What ``init`` made."""

    recorder: Recorder
    worker: Worker
    resilience: Resilience
    info: AppInfo
    instance_given: str | None
    pid: int


class _State:
    """The one process, or None while ragwatch is off."""

    process: _Process | None = None
    provider: Provider | None = None
    watcher: Any = None
    """At the tracer provider that the app had already."""
    at_fork = False


def init(
    service: str | None = None,
    *,
    environment: str | None = None,
    version: str | None = None,
    content: Content | None = None,
    log_queries: bool | None = None,
    attributes: Mapping[str, Any] | None = None,
    sampler: sampling.Sampler | None = None,
    app_info: Mapping[str, Any] | None = None,
) -> None:
    """Switch ragwatch on in this process. Never raises; a second call is a warning.

    ``service`` and ``environment`` name the app (also ``OTEL_SERVICE_NAME``, ``RAGWATCH_ENVIRONMENT``); ``content`` is
    ``"off"``, ``"truncated"`` or ``"full"`` (also ``RAGWATCH_CONTENT``) and says whether text may leave the process;
    ``log_queries`` switches the JSON line a query; ``attributes`` go on the resource; ``app_info`` is
    what the function of that name takes. A tracer provider that the app has set already is kept and used.
    """
    try:
        with _lock:
            _init(service, environment, version, content, log_queries, attributes, sampler)
        if app_info:
            say(**app_info)
    except Exception as error:  # noqa: BLE001  (the app still runs, and one line says what is wrong)
        guard.fault("init", error)


def app_info(
    *,
    version: str | None = None,
    index_version: str | None = None,
    embedding_model: str | None = None,
    prompt_version: str | None = None,
    config: Configuration | str | None = None,
) -> None:
    """Say what the app runs: the labels of ``rag.app.info``, so that a change shows beside the numbers it moves.

    ``config`` is a ``ProductionConfig`` (its hash is the label, after a reload too) or a hash. What is not given stays
    as it was said before; ``version`` is the resource's ``service.version`` unless given. A change is a log event.
    """
    try:
        say(
            version=version,
            index_version=index_version,
            embedding_model=embedding_model,
            prompt_version=prompt_version,
            config=config,
        )
    except Exception as error:  # noqa: BLE001
        guard.fault("app_info", error)


def flush(timeout_s: float = 10.0) -> bool:
    """Handle and deliver everything that has ended by now; False when it could not be delivered in that time."""
    process = _State.process
    if process is None:
        return True
    try:
        return process.worker.flush(timeout_s)
    except Exception as error:  # noqa: BLE001
        guard.fault("flush", error)
        return False


def shutdown(timeout_s: float | None = None) -> None:
    """Deliver what can be delivered and switch ragwatch off; also runs by itself at the end of the process."""
    with _lock:
        process, _State.process = _State.process, None
        if _State.watcher is not None:
            _State.watcher.recorder = None
        Active.runtime = None
    if process is None or process.pid != os.getpid():
        return
    try:
        process.resilience.close()
        process.info.close()
        process.worker.stop(process.recorder.settings.shutdown_timeout_s if timeout_s is None else timeout_s)
    except Exception as error:  # noqa: BLE001
        guard.fault("shutdown", error)


def metrics() -> RAGMetrics:
    """The KPIs of this process, every query that has ended included."""
    process = _State.process
    if process is None:
        return RAGMetrics.of(State())
    from time import time

    process.worker.drain()
    process.recorder.collect()
    with process.recorder.lock:
        state = process.recorder.engine.state.copy()
        rate = process.recorder.engine.rate.per_second(time())
    return RAGMetrics.of(state, throughput=rate)


def telemetry() -> dict[str, Any]:
    """What became of the telemetry of this process: spans ended and queued, items sent, lost by reason, own faults."""
    process = _State.process
    if process is None:
        return {"ended": 0, "queued": 0, "sent": {}, "lost": {}, "faults": dict(guard.faults)}
    recorder = process.recorder
    with recorder.lock:
        lost = {
            f"{key[2]}/{key[3]}": int(amount)
            for key, amount in recorder.engine.state.series("ragwatch.sdk.lost").items()
            if amount
        }
    return {
        "ended": recorder.ended_spans,
        "queued": len(recorder.spans),
        "sent": process.worker.sender.sent,
        "lost": lost,
        "faults": dict(guard.faults),
    }


def running() -> tuple[Recorder, Worker] | None:
    """The recorder and the worker of this process; None while ragwatch is off."""
    process = _State.process
    return None if process is None else (process.recorder, process.worker)


def engine_state() -> State:
    """A copy of this process' KPI state, for a registry or an exporter of the app's own."""
    process = _State.process
    if process is None:
        return State()
    process.worker.drain()
    process.recorder.collect()
    with process.recorder.lock:
        return process.recorder.engine.state.copy()


def _init(
    service: str | None,
    environment: str | None,
    version: str | None,
    content: Content | None,
    log_queries: bool | None,
    attributes: Mapping[str, Any] | None,
    sampler: sampling.Sampler | None,
) -> None:
    if _State.process is not None:
        guard.say_once("init-twice", "ragwatch: init() was called a second time; the first settings stay in force")
        return
    settings = _settings(service, environment, content, log_queries)
    if settings.log_level is not None:
        guard.logger.setLevel(settings.log_level)
    for warning in settings.warnings:
        guard.say_once(f"setting:{warning}", "ragwatch: %s", warning)
    if settings.disabled:
        return
    existing = trace.get_tracer_provider()
    foreign = None if isinstance(existing, trace.ProxyTracerProvider | Provider) else existing
    given: dict[str, Any] = dict(attributes or {})
    if version:
        given[semconv.SERVICE_VERSION] = version
    resource, instance = _resource(settings, given, getattr(foreign, "resource", None))
    recorder = Recorder(settings, resource, counts=settings.endpoints.get("metrics") is not None)
    worker = Worker(recorder)
    resilience = Resilience(recorder)
    info = AppInfo(recorder)

    def collect() -> None:
        resilience.collect()
        info.collect()

    recorder.collect = collect
    _State.process = _Process(recorder, worker, resilience, info, instance, os.getpid())
    if foreign is not None:
        Active.runtime = ForeignRuntime(recorder, foreign.get_tracer(semconv.SCOPE_NAME, __version__))
        if hasattr(foreign, "add_span_processor"):
            _watch(recorder, foreign)
    else:
        _own(recorder, resource, sampler)
    if not _State.at_fork:
        _State.at_fork = True
        atexit.register(shutdown)
        os.register_at_fork(after_in_child=_after_fork)
        processes = sys.modules.get("multiprocessing.process")
        if processes is not None and processes.parent_process() is not None:
            _at_end_of_child()


def _watch(recorder: Recorder, provider: Any) -> None:
    from ragwatch.sdk.watching import Watcher

    if _State.watcher is None or _State.watcher.provider is not provider:
        _State.watcher = Watcher(provider, flush)
    _State.watcher.recorder = recorder


def _own(recorder: Recorder, resource: Resource, sampler: sampling.Sampler | None) -> None:
    provider = _State.provider
    if provider is None:
        provider = _State.provider = Provider(recorder, resource, sampler)
        trace.set_tracer_provider(provider)
    else:
        provider.rebind(recorder, sampler)
    provider.on_flush = flush
    provider.on_shutdown = shutdown
    Active.runtime = OwnRuntime(provider.get_tracer(semconv.SCOPE_NAME, __version__))


def _settings(
    service: str | None, environment: str | None, content: Content | None, log_queries: bool | None
) -> SdkSettings:
    settings = read_settings()
    changes: dict[str, Any] = {}
    if service:
        changes["service"] = service
    if environment:
        changes["environment"] = environment
    if content is not None:
        if content in {"off", "truncated", "full"}:
            changes["content"] = content
        else:
            changes["content"] = "off"
            unreadable = f"content={content!r} is not off, truncated or full; off is used: no text leaves the process"
            changes["warnings"] = (*settings.warnings, unreadable)
    if log_queries is not None:
        changes["log_queries"] = log_queries
    return replace(settings, **changes)


def _resource(
    settings: SdkSettings, attributes: dict[str, Any], existing: Resource | None
) -> tuple[Resource, str | None]:
    """The resource of this process, and the instance id that the app gave it, if it did."""
    if settings.service:
        attributes[semconv.SERVICE_NAME] = settings.service
    if settings.environment:
        attributes[semconv.DEPLOYMENT_ENVIRONMENT] = settings.environment
    resource = (existing or Resource.create()).merge(Resource(attributes))
    theirs = existing.attributes.get(semconv.SERVICE_INSTANCE_ID) if existing is not None else None
    given = attributes.get(semconv.SERVICE_INSTANCE_ID) or theirs or _in_environment(semconv.SERVICE_INSTANCE_ID)
    instance = str(given) if given else str(uuid.uuid4())
    return resource.merge(Resource({semconv.SERVICE_INSTANCE_ID: instance})), str(given) if given else None


def _in_environment(name: str) -> str | None:
    pairs = (part.partition("=") for part in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    return next((value.strip() for key, _, value in pairs if key.strip() == name and value.strip()), None)


def _after_fork() -> None:
    """In a forked child: a new instance with empty queues and numbers; nothing of the parent's is sent again."""
    global _lock  # noqa: PLW0603  (another thread of the parent may have held it)
    _lock = threading.Lock()
    process = _State.process
    if process is None:
        return
    try:
        guard.forget()
        recorder = process.recorder
        given = process.instance_given
        instance = f"{given}-{os.getpid()}" if given else str(uuid.uuid4())
        recorder.start(recorder.resource.merge(Resource({semconv.SERVICE_INSTANCE_ID: instance})))
        process.resilience.forked()
        process.info.forked()
        _State.process = _Process(recorder, Worker(recorder), process.resilience, process.info, given, os.getpid())
        forks = sys.modules.get("multiprocessing.util")
        if forks is not None:  # it forgets all finalizers, then calls these
            forks.register_after_fork(_State, _at_end_of_child)
    except Exception as error:  # noqa: BLE001
        guard.fault("fork", error)


def _at_end_of_child(_: object = None) -> None:
    """Deliver at the end of a child of ``multiprocessing`` too: it ends without ``atexit``."""
    from multiprocessing.util import Finalize

    Finalize(None, shutdown, exitpriority=-100)
