"""The doctor's look at the app's side: versions, settings in force, sampler, content, instrumentors, the user's app."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ragwatch import __version__
from ragwatch.config.otel_env import SdkSettings, read_settings

Status = Literal["ok", "wrong", "note", "unknown"]
CHILD_S = 60.0


class Check(NamedTuple):
    """One thing that was looked at: how it is, what was seen, and what to type where it is wrong."""

    name: str
    status: Status
    said: str
    do: str = ""


def app_checks(target: str | None) -> Iterator[Check]:
    """Everything that can be known without the agent."""
    settings = read_settings()
    yield _versions()
    yield from _settings(settings)
    yield from _switches(settings)
    yield _sampler()
    yield _content(settings)
    yield _instrumentors()
    if target is not None:
        yield from _target(target)


def _versions() -> Check:
    from importlib.metadata import version

    parts = [f"ragwatch {__version__}", f"Python {platform.python_version()}"]
    parts += [f"{name} {version(name)}" for name in ("opentelemetry-api", "opentelemetry-sdk")]
    return Check("versions", "ok", ", ".join(parts))


def _settings(settings: SdkSettings) -> Iterator[Check]:
    from ragwatch.config.reserved import misspelled_sdk_names
    from ragwatch.config.sdk_settings import sdk_rows

    rows, faults = sdk_rows()
    meant = dict(misspelled_sdk_names(os.environ))
    for fault in faults:
        name = fault.setting
        do = f"unset {name}, and set {meant[name]}" if name in meant else f"ragwatch config explain {name}"
        yield Check("settings", "wrong", f"{name}: {fault.problem}", do)
    given = [f"{row.name} = {row.value} ({row.source})" for row in rows if row.source != "default"]
    if not faults:
        yield Check("settings", "ok", "; ".join(given) or "every setting of the SDK is its default")
    if settings.service is None and "service.name" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        yield Check(
            "service", "note", "no OTEL_SERVICE_NAME is set: an app that does not name itself is unknown_service",
            'OTEL_SERVICE_NAME=my-app, or ragwatch.init(service="my-app")',
        )  # fmt: skip


def _switches(settings: SdkSettings) -> Iterator[Check]:
    if settings.disabled:
        yield Check("switch", "wrong", "OTEL_SDK_DISABLED=true switches all telemetry off", "unset OTEL_SDK_DISABLED")
    off = [signal for signal in ("traces", "metrics", "logs") if settings.endpoints.get(signal) is None]
    for signal in off:
        name = f"OTEL_{signal.upper()}_EXPORTER"
        meaning = {
            "traces": "no trace and no query reaches the agent",
            "metrics": "the agent counts from the spans instead, so a sampler would hide queries from the KPIs",
            "logs": "judgements (feedback, relevance) do not travel",
        }[signal]
        yield Check("switch", "wrong" if signal == "traces" else "note", f"{name}=none: {meaning}", f"unset {name}")
    if not settings.disabled and not off:
        yield Check("switch", "ok", "traces, metrics and logs are sent")


def _sampler() -> Check:
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    share = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    lowered = name.removeprefix("parentbased_")
    text = f"OTEL_TRACES_SAMPLER={name}" + (f" OTEL_TRACES_SAMPLER_ARG={share}" if share else "")
    dropped = "KPIs still count every query, but there is no trace to look at"
    fix = "OTEL_TRACES_SAMPLER=parentbased_always_on"
    if lowered == "always_off" or (lowered == "traceidratio" and _number(share) == 0):
        return Check("sampler", "wrong", f"{text} drops every trace: {dropped}", fix)
    if lowered == "traceidratio" and _number(share) < 1:
        return Check("sampler", "note", f"{text} keeps a part of the traces: {dropped} for the rest", fix)
    return Check("sampler", "ok", text if name else "every trace is kept")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _content(settings: SdkSettings) -> Check:
    meaning = {
        "off": "no text leaves the process: ids, scores, lengths; RAGWATCH_CONTENT=truncated would show text",
        "truncated": "the first 100 characters of texts leave the process",
        "full": "whole texts leave the process",
    }[settings.content]
    return Check("content", "ok", f"{settings.content}: {meaning}")


def _instrumentors() -> Check:
    from importlib.metadata import entry_points

    names = sorted({entry.name for entry in entry_points(group="opentelemetry_instrumentor")})
    return Check("instruments", "ok", f"installed: {', '.join(names)}" if names else "no instrumentor is installed")


def _target(name: str) -> Iterator[Check]:
    found, said = run_child("target", name)
    if found is None:
        yield Check(
            "app",
            "wrong",
            f"{name} ends the process as it is imported: {said}",
            f"python -c 'import {name.partition(':')[0]}'",
        )
        return
    if "fails" in found:
        yield Check("app", "wrong", f"{name}: {found['fails']}", "mend that, then run the doctor again")
        return
    yield Check("app", "ok", f"{name} is imported")
    if found["running"]:
        yield Check("init", "ok", f"ragwatch is on as service {found['service']}, content {found['content']}")
    elif not found["active"]:
        by_hand = found["provider_is"] == "other" and found["records"]
        said = "nothing in it calls ragwatch.init(), and no instrumentor is on: "
        yield Check(
            "init", "note" if by_hand else "wrong",
            said + ("its own tracer alone says what it does" if by_hand else "it sends nothing"),
            'import ragwatch; ragwatch.init(service="my-app")   # before the first query',
        )  # fmt: skip
    yield _provider(found)
    if found["active"]:
        yield Check("active", "ok", f"instrumentors that are on: {', '.join(found['active'])}")


def _provider(found: dict[str, Any]) -> Check:
    kind = found["provider"]
    if found["provider_is"] == "none":
        return Check("provider", "note", "no tracer provider is set: nothing is traced until somebody sets one")
    sampler = f", sampler {_root_of(found['sampler'])}" if found["sampler"] else ""
    if not found["records"]:
        return Check(
            "provider", "wrong", f"spans of the provider {kind} are not recorded{sampler}: no trace leaves the app",
            "give that provider a sampler that keeps traces, or let ragwatch.init() make the provider",
        )  # fmt: skip
    if found["provider_is"] == "own":
        return Check("provider", "ok", f"ragwatch's own{sampler}")
    if not found["can_add"]:
        return Check(
            "provider", "wrong", f"{kind}, set by somebody else, takes no span processor: its spans reach no agent",
            "use opentelemetry.sdk.trace.TracerProvider, or let ragwatch.init() make the provider",
        )  # fmt: skip
    if not found["running"] and not found["processors"]:
        return Check(
            "provider", "wrong", f"{kind}, set by somebody else, has no span processor: what it traces goes nowhere",
            "ragwatch.init() after it is set, or provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))",
        )  # fmt: skip
    others = f", exports by {', '.join(found['processors'])}" if found["processors"] else ""
    return Check("provider", "note", f"{kind}, set by somebody else, is kept and used{others}{sampler}")


def _root_of(sampler: str) -> str:
    """Of what a parent-based sampler says of itself, the part that decides about a query.

    >>> _root_of("ParentBased{root:AlwaysOnSampler,remoteParentSampled:AlwaysOnSampler}")
    'ParentBased{root:AlwaysOnSampler}'
    """
    root, comma, _ = sampler.partition(",remoteParentSampled:")
    return f"{root}}}" if comma else sampler


def run_child(
    *arguments: str, timeout_s: float = CHILD_S, env: Mapping[str, str] | None = None
) -> tuple[dict[str, Any] | None, str]:
    """What the child says, and its last words on standard error; None where it ended without an answer."""
    environ = {**os.environ, **(env or {})}
    command = [sys.executable, "-m", "ragwatch.cli.doctor_child", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environ)  # noqa: S603
    except subprocess.TimeoutExpired:
        return None, f"nothing came within {timeout_s:.0f} s"
    words = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit code {done.returncode}")
    try:
        found = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    except ValueError:
        return None, words[:200]
    return (found if isinstance(found, dict) else None), words[:200]
