"""The doctor's look at the way: SDK → receiver → inbox → KPIs → /metrics → upstream, with a query of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from time import monotonic, sleep, time
from typing import Any, NamedTuple

from ragwatch import __version__
from ragwatch.cli.doctor_app import CHILD_S, Check, run_child
from ragwatch.cli.doctor_child import SERVICE
from ragwatch.cli.doctor_receiver import START, goes_elsewhere, place_of, receiver_checks, start
from ragwatch.cli.source import RunningAgent, default_port
from ragwatch.config.otel_env import read_settings
from ragwatch.errors import ConfigError, NoAnswer

ARRIVAL_S = 10.0
QUIET_S = 3.0
"""The SDK has an answer to what it sent: an agent that still counts nothing then is not the one that took it."""
RECEIVED = "ragwatch_agent_received_total"
FORWARDED = "ragwatch_agent_forwarded_total"
FORWARD_S = 8.0
SKEW_S = 2.0
UNSENT = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}


class Canary(NamedTuple):
    """What the doctor sends through the whole way: the child that sends it, and the look at what that says of itself.

    ``checks`` takes what the child said (None where it ended without a word), and its last words.
    """

    arguments: tuple[str, ...] = ("canary",)
    timeout_s: float = CHILD_S
    checks: Callable[[dict[str, Any] | None, str], Iterable[Check]] = lambda _found, _words: ()
    goes_unsent: bool = False
    """Whether it says something also where nothing can be sent."""


def hop_checks(agent: RunningAgent, canary: Canary = Canary()) -> Iterator[Check]:  # noqa: B008  (frozen)
    """Each hop in order; what lies behind one that is wrong is unknown."""
    settings = read_settings()
    receivers = list(receiver_checks(settings, agent))
    yield from receivers
    web = _web(agent)
    yield from web
    if web[0].status == "wrong" or any(one.status != "ok" for one in receivers) or settings.disabled:
        if canary.goes_unsent:
            yield from canary.checks(*run_child(*canary.arguments, timeout_s=canary.timeout_s, env=UNSENT))
        yield Check("query", "unknown", "not sent: a hop before it is wrong")
        return
    before = _samples(agent)
    found, words = run_child(*canary.arguments, timeout_s=canary.timeout_s)
    about = list(canary.checks(found, words))
    yield from about
    if any(check.status == "wrong" for check in about):
        yield Check("query", "unknown", "the app did not get so far")
        return
    sent = _sent(found, words)
    yield sent
    if sent.status == "wrong" or found is None:
        yield Check("KPIs", "unknown", "the query did not leave the SDK")
        return
    yield from _arrival(agent, found, before)


def _web(agent: RunningAgent) -> list[Check]:
    try:
        status, kind, body = agent.get("/readyz")
    except NoAnswer:
        do = f"{start(web=agent)}, or --agent URL of its web port"
        return [Check("agent", "wrong", f"nobody answers at {agent.name}", do)]
    try:
        found: dict[str, Any] = json.loads(body)
        problems = found["problems"]
    except (ValueError, KeyError, TypeError):
        said = f"{agent.name} is no ragwatch agent: /readyz answers {status} with {kind}"
        return [Check("agent", "wrong", said, "--agent URL of the agent's web port")]
    try:
        before = time()
        state = agent.get_json("/api/state")
        after = time()
    except (ConfigError, NoAnswer) as error:
        return [Check("agent", "wrong", str(error), "RAGWATCH_AGENT_TOKEN=TOKEN, or --token TOKEN")]
    checks = [Check("agent", "ok", f"{agent.name} is ready")]
    if problems:
        text = "; ".join(f"{part} {problem}" for part, problem in problems.items())
        checks = [Check("agent", "wrong", f"not ready: {text}", "look at what the agent says on its standard error")]
    skew = float(state["at"]) - (before + after) / 2
    if abs(skew) > SKEW_S + (after - before):
        said = f"the agent's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this host's"
        checks.append(Check("clock", "wrong", f"{said}: --since and rates are off by that", "timedatectl set-ntp true"))
    else:
        checks.append(Check("clock", "ok", f"the agent's differs by {abs(skew):.1f} s"))
    version = _label(_samples(agent), "ragwatch_build_info", "version")
    if version and version != __version__:
        checks.append(
            Check("version", "note", f"the agent is ragwatch {version}, here is {__version__}", "upgrade the older one")
        )
    return checks


def _sent(found: dict[str, Any] | None, words: str) -> Check:
    if found is None:
        return Check("query", "wrong", f"the SDK's process ended: {words}", "run it again with OTEL_LOG_LEVEL=debug")
    lost = ", ".join(f"{count} {what}" for what, count in found["telemetry"]["lost"].items())
    if not found["on"]:
        if read_settings().disabled:
            return Check("query", "wrong", "ragwatch is off in a fresh process", "unset OTEL_SDK_DISABLED")
        said = "nothing traces in a fresh process: neither ragwatch nor another SDK was begun"
        return Check("query", "wrong", said, 'ragwatch.init(service="…") at the start of the app')
    if found.get("unexported"):
        said = f"it was traced, and nothing exports what the provider {found['unexported']} has: see the provider above"
        return Check("query", "wrong", said, "ragwatch.init() after the provider is set")
    if not found["delivered"] or lost:
        return Check("query", "wrong", f"the SDK could not deliver a query: {lost or words}", "see the receiver above")
    return Check("query", "ok", f"the SDK delivered one, trace {found['trace_id']}")


def _arrival(agent: RunningAgent, sent: dict[str, Any], before: dict[tuple[str, str], float]) -> Iterator[Check]:
    trace_id, service = str(sent["trace_id"]), str(sent.get("service", SERVICE))
    if sent.get("sampled") is False:
        yield Check("KPIs", "unknown", "the sampler dropped its trace, so that there is no query to look at")
        yield from _counted(agent, before, service)
        return
    quiet_at = monotonic() + QUIET_S
    _wait(lambda: _held(agent, trace_id) or (monotonic() > quiet_at and not _moves(_samples(agent), before)), ARRIVAL_S)
    now = _samples(agent)
    if not _held(agent, trace_id):
        waiting = int(_total(now, "ragwatch_agent_lag", 'consumer="pipeline"'))
        if waiting:
            said = f"{waiting} requests wait in the inbox and the pipeline takes none"
            yield Check("inbox", "ok", "the agent has it on disk")
            yield Check("KPIs", "wrong", said, "look at what the agent says on its standard error; restart it")
        elif _total(now, RECEIVED) > _total(before, RECEIVED):
            yield Check("inbox", "ok", "the agent took spans from its inbox")
            said = "the trace was taken and is not among the queries kept"
            yield Check("KPIs", "wrong", said, "ragwatch agent --queries-kept 500; or a sampler dropped it: see above")
        else:
            said = f"what the SDK delivered did not come to the agent at {agent.name}"
            traces = read_settings().endpoints["traces"]
            place = place_of(agent).url("" if traces is None else traces.protocol)
            do = f"the endpoint is another receiver's: OTEL_EXPORTER_OTLP_ENDPOINT={place}, or --agent URL of that one"
            yield Check("inbox", "wrong", said, do)
        return
    yield Check("inbox", "ok", "the agent has it on disk")
    yield _steps(agent, trace_id, sent.get("steps", ["retrieve"]), service)
    yield from _counted(agent, before, service)


def _moves(now: dict[tuple[str, str], float], before: dict[tuple[str, str], float]) -> bool:
    """Whether something came to the agent since, or waits there."""
    return _total(now, RECEIVED) > _total(before, RECEIVED) or _total(now, "ragwatch_agent_lag") > 0


def _counted(agent: RunningAgent, before: dict[tuple[str, str], float], service: str) -> Iterator[Check]:
    """The hops behind the query itself."""
    name = "rag_query_duration_seconds_count"
    label = f'service="{service}"'
    counted = _wait(lambda: _total(_samples(agent), name, label) > _total(before, name, label), ARRIVAL_S)
    if counted:
        yield Check("/metrics", "ok", f"it counts it: {name}{{{label}}}")
    else:
        elsewhere = goes_elsewhere(read_settings())
        said = f"{name}{{{label}}} did not grow"
        do = "see what the agent says on standard error"
        if elsewhere is not None:
            said += f": the metrics go to {elsewhere}, and what their process counts the agent does not"
            do = "unset OTEL_EXPORTER_OTLP_METRICS_ENDPOINT; or OTEL_METRICS_EXPORTER=none, and the agent counts spans"
        yield Check("/metrics", "wrong", said, do)
    yield from _losses(_samples(agent))
    yield _upstream(agent, before)


def _steps(agent: RunningAgent, trace_id: str, wanted: list[str], service: str) -> Check:
    """Whether each step that the SDK recorded is in the agent's query."""
    try:
        (query, *_) = agent.query(trace_id)["queries"]
    except (NoAnswer, ConfigError, ValueError) as error:
        return Check("KPIs", "wrong", f"its query cannot be read: {error}", _show(agent, trace_id))
    there = [step["step"] for step in query["steps"]]
    missing = [step for step in wanted if step not in there]
    if missing:
        said = f"its query has no {', '.join(missing)}: spans were lost on the way"
        return Check("KPIs", "wrong", said, "docs/runbooks.md says what each reason of a loss means")
    if not there:
        said = f"it is a query of {service} without a step: what the app does for an answer is not seen"
        how = "@ragwatch.retrieve and @ragwatch.generate around its steps, or an instrumentor of its libraries"
        return Check("KPIs", "wrong", said, how)
    many = f"its step{'s' if len(there) != 1 else ''} {', '.join(there)}"
    return Check("KPIs", "ok", f"it is a query of {service} with {many}: {_show(agent, trace_id)}")


def _show(agent: RunningAgent, trace_id: str) -> str:
    """The command that shows the query."""
    where = "" if agent.name == f"http://127.0.0.1:{default_port()}" else f" --agent {agent.name}"
    return f"ragwatch show {trace_id[:8]}{where}"


def _held(agent: RunningAgent, trace_id: str) -> bool:
    status, _, _ = agent.get(f"/api/queries/{trace_id}")
    return status == 200


def _losses(samples: dict[tuple[str, str], float]) -> Iterator[Check]:
    for name, what in (
        ("ragwatch_sdk_lost_total", "items that apps lost"),
        ("ragwatch_agent_refused_total", "requests that the agent refused"),
        ("ragwatch_agent_dead_letters_total", "requests set aside"),
        ("ragwatch_agent_decode_errors_total", "requests that could not be read"),
    ):
        found = [f"{value:.0f} {labels}" for (metric, labels), value in samples.items() if metric == name and value]
        if found:
            yield Check(
                "losses", "note", f"{what}, ever: {'; '.join(found)}", "docs/runbooks.md says what each reason means"
            )


def _upstream(agent: RunningAgent, before: dict[tuple[str, str], float]) -> Check:
    def lag() -> float | None:
        samples = _samples(agent)
        found = [
            value for (name, labels), value in samples.items() if name == "ragwatch_agent_lag" and "forward" in labels
        ]
        return found[0] if found else None

    if lag() is None:
        return Check("upstream", "note", "none is set: everything stays with this agent", f"{START} --upstream URL")
    gone = _wait(lambda: lag() == 0, FORWARD_S)
    now = _samples(agent)
    name = _label(now, FORWARDED, "upstream") or "the upstream"
    why = _why_not(agent)
    do = "look there, or at --upstream and --upstream-headers of the agent"
    refused = _total(now, FORWARDED, 'result="refused"') - _total(before, FORWARDED, 'result="refused"')
    if refused > 0:
        return Check("upstream", "wrong", f"{name} refuses what it gets{why}: {refused:.0f} requests set aside", do)
    if not gone:
        said = f"{lag() or 0:.0f} requests wait for {name}, which does not take them{why} (nothing is lost)"
        return Check("upstream", "wrong", said, do)
    if _total(now, FORWARDED, 'result="kpis_failed"') and not _total(now, FORWARDED, 'result="kpis"'):
        said = f"{name} has taken everything but the KPIs: it takes no metrics"
        return Check("upstream", "note", said, f"let a Prometheus scrape {agent.name}/metrics")
    return Check("upstream", "ok", f"{name} has taken everything")


def _why_not(agent: RunningAgent) -> str:
    """What the upstream answered last, where the agent says it."""
    try:
        problem = agent.about().get("upstream_problem")
    except (NoAnswer, ConfigError):
        return ""
    return f" ({problem})" if problem else ""


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    until = monotonic() + seconds
    while not condition():
        if monotonic() > until:
            return False
        sleep(0.1)
    return True


def _samples(agent: RunningAgent) -> dict[tuple[str, str], float]:
    """The samples of /metrics by name and labels; empty where it does not answer."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        status, _, body = agent.get("/metrics")
    except NoAnswer:
        return {}
    if status != 200:
        return {}
    return {
        (sample.name, ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def _total(samples: dict[tuple[str, str], float], name: str, label: str = "") -> float:
    return sum(value for (metric, labels), value in samples.items() if metric == name and label in labels)


def _label(samples: dict[tuple[str, str], float], name: str, label: str) -> str | None:
    for metric, labels in samples:
        if metric == name and f'{label}="' in labels:
            return labels.partition(f'{label}="')[2].partition('"')[0]
    return None
