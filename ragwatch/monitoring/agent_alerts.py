"""The alerts on what brings the KPIs: is an agent away, a service gone, telemetry lost, does an agent keep up."""

from __future__ import annotations

from typing import Final

from ragwatch.monitoring.alert import Alert, Least, begun_anew, looks, unanswered
from ragwatch.monitoring.evidence import SEEN
from ragwatch.monitoring.kpis import BY
from ragwatch.monitoring.promql import TARGET, increase, series, total

UP: Final = 'up{job=~"ragwatch|agent-up"}'
"""Prometheus' own word on each scrape of an agent, by the jobs of ``deploy/prometheus/prometheus.yml``."""
_BUILD = series("ragwatch.build.info")
_LOSSES = series("ragwatch.sdk.lost")
_THERE: Final = f"{_BUILD} offset {{w}} or {_LOSSES} offset {{w}}"
"""What an agent shows from its first scrape on, and an SDK that sends its own metrics: who was there a window ago."""
_LAG = series("ragwatch.agent.lag", consumer="forward")
_DELIVERED = series("ragwatch.agent.forwarded", result="delivered")
_STEPS = series("rag.step.calls")
_LOST_SHARE = 0.01
_BEHIND = 500
"""So many requests that wait, and more each minute, are no burst."""

_LEFT = f"(count by (job) ({UP}) or 0 * count by (job) ({UP} offset {{w}}))"


def _more(name: str, *by: str, least: str = ">= {least}", **labels: str) -> str:
    """By how much a counter grew over the window; one that began since then has grown by all that it holds."""
    found = series(name, "", scoped=False, **labels)
    return f"({total(increase(found, '{w}'), *by)} {least}) or ({total(begun_anew(found, _THERE), *by)} {least})"


def _before(expression: str) -> str:
    """Its sum, by service and by who saw it."""
    return total(expression, *BY, *TARGET)


def _lost() -> str:
    """What SDKs lost, where that is one in a hundred at least of what they recorded in the same time.

    Recorded are a span for each step and each query. Where nothing is known of them nothing is held back.
    """
    by = (*BY, "signal", "reason")
    made = total(f"{increase(_STEPS, '{w}')} or {increase(SEEN, '{w}')}", *BY)
    lost = f"({_more('ragwatch.sdk.lost', *by, least='> 0')})"
    return (
        f"({_more('ragwatch.sdk.lost', *by)}) unless on ({', '.join(by)}) "
        f"({lost} < on (service, environment) group_left () {_LOST_SHARE} * {made})"
    )


AGENT_ALERTS: Final = (
    Alert(
        "RagTelemetryLost", "ticket",
        _lost(), 600, 0, Least(20, "items"),
        "{{ $labels.service }} lost {{ $value | humanize }} items of {{ $labels.signal }}: {{ $labels.reason }}",
        "An SDK had to drop telemetry: one in a hundred at least of what it recorded. The KPIs count every query all the same, unless `metrics` are among it.",
        "sum by (service, signal, reason) (increase(ragwatch_sdk_lost_total[1h]))",
        "`send_queue_full`, `shutdown`: the agent is down or far away. `queue_full`: raise OTEL_BSP_MAX_QUEUE_SIZE. "
        "`refused`: the receiver takes no such signal, or the token is wrong.",
    ),
    Alert(
        "RagwatchAgentBehind", "page",
        f"max by (job, instance) ({series('ragwatch.agent.inbox.oldest')}) > 60", 60, 120, looks(120),
        "The agent {{ $labels.instance }} is {{ $value | humanizeDuration }} behind: what the dashboards show is old",
        "The pipeline does not keep up with what comes in. Nothing is lost: it is on disk.",
        "rate(ragwatch_agent_received_total[5m])",
        "Give it a whole core; send larger batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE); run one agent a host.",
    ),
    Alert(
        "RagwatchRefuses", "page",
        _more("ragwatch.agent.refused", *TARGET, "reason", reason="=~inbox_full|memory_full|disk"), 600, 0, Least(5, "requests"),
        "The agent {{ $labels.instance }} turned {{ $value | humanize }} request(s) away: {{ $labels.reason }}",
        "The agent has no room for what comes in. Senders try again and wait; what an SDK cannot hold any longer is lost.",
        "sum by (instance, reason) (increase(ragwatch_agent_refused_total[10m]))",
        "`inbox_full`: RagwatchForwardStuck or RagwatchAgentBehind beside it says who does not take what is there; then "
        "`agent.max_inbox_bytes`. `memory_full`: a burst, or too little memory. `disk`: it is full or slow.",
    ),
    Alert(
        "RagwatchForwardStuck", "ticket",
        f"(min_over_time({_LAG}[{{w}}]) >= {{least}} unless on (job, instance) {total(increase(_DELIVERED, '{w}'), *TARGET)} > 0) "
        f"or (min_over_time({_LAG}[{{w}}]) > {_BEHIND} and {_LAG} > {_LAG} offset {{w}})", 600, 120, Least(5, "requests"),
        "{{ $value | humanize }} requests or more wait in the agent {{ $labels.instance }} for its upstream",
        "Nothing was delivered upstream for ten minutes though requests wait, or more than "
        f"{_BEHIND} requests wait and they become more. Nothing is lost until the inbox is full. An agent whose KPIs come to "
        "Prometheus by that same way cannot say so: RagServiceGone does then.",
        "sum by (instance, upstream, result) (increase(ragwatch_agent_forwarded_total[10m]))",
        "`retried`: the upstream is away or turns everything away for now; the agent's log has its answer. Delivered, and "
        "still growing: the upstream is too slow for what comes in; give it more, or send less.",
    ),
    Alert(
        "RagwatchDeadLetters", "ticket",
        _more("ragwatch.agent.dead_letters", *TARGET, "reason"), 3600, 0, Least(3, "requests"),
        "The agent {{ $labels.instance }} set {{ $value | humanize }} request(s) aside: {{ $labels.reason }}",
        "Requests that could not be read, that ended the pipeline's process, or that the upstream refused for good (`forward_…`) "
        "are kept aside. Fewer are seen on the dashboard of ragwatch itself.",
        "sum by (instance, reason) (increase(ragwatch_agent_dead_letters_total[1d]))",
        "`decode`, `crash_loop`: a sender that sends no OTLP; a version that is too new; the bodies are in pipeline.db, table "
        "dead_letters. `forward_…`: the upstream's answer is in the agent's log (no right, too large); the bodies are in "
        "forward.db, table dead_letters.",
    ),
    Alert(
        "RagKpisTwice", "ticket",
        f"count by (agent) (count by (agent, job, instance) ({series('ragwatch.build.info', agent='!=')})) > 1", 300, 600, looks(600),
        "The KPIs of the agent {{ $labels.agent }} arrive by {{ $value }} ways at once: sums over them count twice",
        "The KPIs of one agent come by a scrape and through a collector. Two agents that both know a service are none of that: "
        "each has an identity of its own, and their counts add up.",
        "count by (agent, job, instance) (ragwatch_build_info)",
        "Keep one: drop the scrape, or switch the metrics of the agent's upstream off. An agent's directory that was copied: "
        "delete `forward.db` in the copy.",
    ),
    Alert(
        "RagServiceGone", "page",
        f"{_before(f'increase({SEEN}[{{w}}] offset {{w}})')} and "
        f"max by ({', '.join((*BY, *TARGET))}) (count_over_time({SEEN}[{{w}}] offset {{w}})) >= {{least}} "
        f"and {_before(f'{SEEN} offset {{w}}')} unless on (service, environment) {SEEN}", 3600, 600, Least(5, "scrapes"),
        "{{ $labels.service }} had {{ $value | humanize }} queries in the hour until an hour ago, as {{ $labels.instance }} saw it, and "
        "is not seen now: nobody watches it",
        "The service's KPIs were there an hour ago and are not now: the agent that it sends to is away, or does not get through to "
        "its upstream. It ends by itself an hour after the KPIs ended.",
        "count by (job, instance) (rag_query_duration_seconds_count)",
        "Start the agent of that service; see whether RagwatchDown, RagwatchGone or RagCollectorDown fires beside it. A service "
        "that was taken away, with its agent: silence it for an hour.",
    ),
    Alert(
        "RagwatchDown", "page",
        f"({unanswered(UP)}) or (0 * absent({_BUILD}) unless on () ({UP} == 0))", 300, 60, Least(3, "scrapes"),
        "{{ if $labels.instance }}The agent {{ $labels.instance }} answered {{ $value }} scrape(s) in the last {w} and none now: the "
        "KPIs of its services stand still{{ else }}{{ $value }} agents of ragwatch are scraped: there are no KPIs, and none of the other "
        "alerts can fire{{ end }}",
        "Prometheus gets nothing from an agent, whatever others say; or nothing from any.",
        'up{job=~"ragwatch|agent-up"}',
        "Start the agent; see what it said; is the scrape's target and token right?",
    ),
    Alert(
        "RagwatchGone", "ticket",
        f"0 * ({UP} offset {{w}} == 1 unless {UP}) + on (job) group_left () ({_LEFT} < count by (job) ({UP} offset {{w}}))",
        3600, 600, looks(600),
        "The agent {{ $labels.instance }} was a target of {{ $labels.job }} an hour ago, is none now, and no other came: "
        "{{ $value }} are left",
        "Where targets are found by name (DNS, Kubernetes), one that is down is no target any more: it has no `up` of 0. There are "
        "fewer agents than an hour ago.",
        'count by (job) (up{job=~"ragwatch|agent-up"})',
        "Start it. Where there should be fewer agents now: nothing, it ends within the hour.",
    ),
    Alert(
        "Watchdog", "info", "vector(1)", 60, 0, looks(0),
        "Always firing: the way from Prometheus to you works",
        "Fires always. When it stops, alerts do not reach you.",
        "vector(1)",
        "Route it to a dead man's switch.",
    ),
)  # fmt: skip
