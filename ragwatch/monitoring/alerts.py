"""Every alert, declared once: what fires it, what it says, and its section of the runbooks.

Each has a minimum of events, so that low traffic does not make it flap; windows are seconds, which ``--window-scale``
shortens for a drill. ``{w}`` in an expression is the alert's window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ragwatch.catalogue_kpis import ANSWERED as OUTCOMES_ANSWERED
from ragwatch.monitoring.kpis import BY
from ragwatch.monitoring.promql import increase, rate, series, share, total, wilson

Severity = Literal["page", "ticket", "info"]
ANSWERED = "=~" + "|".join(OUTCOMES_ANSWERED)
Z = 3.1
"""A bound of 95 % looked at every hour gave 20 to 30 false alarms a month; this one about one in a year."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``expr`` holds ``{w}`` (its window) and ``{day}``; ``summary`` is a Prometheus template.

    ``first`` is the query to look at first. Where it happens is said by a label or, by a query, in the summary.
    """

    name: str
    severity: Severity
    expr: str
    window_s: float
    for_s: float
    summary: str
    meaning: str
    first: str
    usually: str
    day_s: float = 86400.0


def _count(outcome: str) -> str:
    return series("rag.query.duration", "_count", outcome=outcome)


def _enough(what: str, n: int, window: str = "{w}", by: tuple[str, ...] = BY) -> str:
    return f"{total(increase(what, window), *by)} >= {n}"


def most(metric: str, by: tuple[str, ...], span: str, shown: str, **labels: str) -> str:
    """A template that names the labels of the series that grew most, in the alert's own service and environment.

    >>> most("rag.query.critical_path", ("step",), "5m", "{{ .Labels.step }}")[:96]
    '{{ range printf `topk(1, sum by (step) (increase(rag_query_critical_path_seconds_total{service="'
    """
    wanted = {"service": "%s", "environment": "%s", **labels}
    grown = increase(series(metric, "", scoped=False, **wanted), span)
    query = f"topk(1, {total(grown, *by)} > 0)"
    return f"{{{{ range printf `{query}` $labels.service $labels.environment | query }}}}{shown}{{{{ end }}}}"


def worst_step(span: str) -> str:
    """A template that names the step that fails most, and how."""
    return most("rag.query.errors", ("step", "error_class"), span, "{{ .Labels.step }} ({{ .Labels.error_class }})")


def slowest_step(span: str) -> str:
    """A template that names the step that queries wait for most."""
    return most("rag.query.critical_path", ("step",), span, "{{ .Labels.step }}")


def emptiest_source(span: str) -> str:
    """A template that names the data source that finds nothing most often."""
    return most(
        "rag.retrieval.requests", ("data_source",), span, "{{ .Labels.data_source }}", result="=~empty|below_threshold"
    )


_SUFFERS = most(
    "rag.step.calls", ("step",), "{w}", "{{ .Labels.step }}", step="!~query|tool", outcome="=~error|rejected|degraded"
)
_ERRORS = total(rate(series("rag.query.errors"), "{w}"), *BY, "step")
_ALL = total(rate(_count(ANSWERED), "{w}"), *BY)


def _more(name: str, *by: str) -> str:
    """By how much a counter grew over the window; one that was not there before it has grown by all that it holds."""
    now = total(series(name), *by)
    return f"({total(increase(series(name), '{w}'), *by)} > 0) or ({now} > 0 unless {total(series(name) + ' offset {w}', *by)})"


_LOST = _more("ragwatch.sdk.lost", *BY, "signal", "reason")
_GOOD = total(increase(series("rag.judgements", target="retrieval", verdict="good"), "{w}"), *BY, "source")
_JUDGED = total(increase(series("rag.judgements", target="retrieval"), "{w}"), *BY, "source")


_BEFORE = "[{day}] offset {w}"


def _judgements(span: str, **labels: str) -> str:
    """Judgements over a window (or ``_BEFORE``, the day before it), by source."""
    return total(f"increase({series('rag.judgements', **labels)}{span})", *BY, "source")  # type: ignore[arg-type]


def _fell(**labels: str) -> str:
    """The share of good judgements is lower than in the day before, beyond chance: the two intervals do not touch."""
    now, before = (
        (_judgements(span, verdict="good", **labels), _judgements(span, **labels)) for span in ("[{w}]", _BEFORE)
    )
    return f"({wilson(*now, Z, '+')}) < ({wilson(*before, Z, '-')})"


def _judged_enough(**labels: str) -> str:
    return " and ".join(f"{_judgements(span, **labels)} >= {{judgements}}" for span in ("[{w}]", _BEFORE))


def _lookups(result: str, window: str, offset: str = "") -> str:
    inner = f"{series('rag.cache.lookups', result=result)}[{window}]{offset}"
    return f"sum by (service, environment, cache) (increase({inner}))"


_HITS_NOW = share(_lookups("hit", "{w}"), _lookups("=~hit|miss", "{w}"))
_HITS_BEFORE = share(_lookups("hit", "{day}", " offset {w}"), _lookups("=~hit|miss", "{day}", " offset {w}"))
_RETRIEVED = total(
    increase(series("rag.retrieval.requests", result="=~ok|empty|below_threshold"), "{w}"), *BY, "data_source"
)
_EMPTY = total(increase(series("rag.retrieval.requests", result="empty"), "{w}"), *BY, "data_source")
_ATTEMPTS = total(increase(series("rag.retry.attempts"), "{w}"), *BY, "operation")
_CALLS = total(increase(series("rag.retry.calls"), "{w}"), *BY, "operation")
_QUERIES_SEEN = series("rag.query.duration", "_count")

ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        "RagErrorRate", "page",
        f"{_ERRORS} / on (service, environment) group_left () ({_ALL} > 0) > 0.1 "
        f"and on (service, environment) {_enough(_count(ANSWERED), 20)}", 300, 60,
        "{{ $value | humanizePercentage }} of {{ $labels.service }}'s queries fail in {{ $labels.step }}; most in " + worst_step("{w}"),
        "One step was the cause of the failure of more than one query in ten over five minutes.",
        "topk(5, sum by (step, error_class) (rate(rag_query_errors_total[5m])))",
        "The step's dependency: restart or fail over what it calls; `rate_limited`: lower the load or ask for more quota; "
        "`auth`: a key ran out; `context_length`: a prompt or the number of documents grew.",
    ),
    Alert(
        "RagBreakerOpen", "page",
        f"max by (service, environment, breaker) ({series('rag.breaker.state', state='=~open|forced_open')}) > 0", 60, 0,
        "The breaker {{ $labels.breaker }} of {{ $labels.service }} is open in {{ $value }} process(es): what is behind it is down; "
        "the step that suffers is " + _SUFFERS,
        "A circuit breaker turns calls away because what it guards failed again and again. Queries are degraded where a "
        "fallback answers, rejected where none does.",
        "sum by (breaker, result) (rate(rag_breaker_calls_total[5m]))",
        "Bring the dependency back; the breaker probes by itself and closes. `forced_open`: somebody opened it by hand.",
    ),
    Alert(
        "RagRetryStorm", "page",
        f"{_ATTEMPTS} / ({_CALLS} > 0) > 1.5 and {_CALLS} >= 20", 300, 60,
        "{{ $value | humanize }} attempts a call of {{ $labels.operation }} in {{ $labels.service }}: retries multiply the load",
        "Retries add half or more to the load of something that is failing already.",
        "sum by (operation, result) (rate(rag_retry_calls_total[5m]))",
        "Put the call behind a breaker and under a retry budget; look at what fails beneath it.",
    ),
    Alert(
        "RagCacheCollapse", "ticket",
        f"{_HITS_NOW} < 0.5 * ({_HITS_BEFORE}) and {_lookups('=~hit|miss', '{w}')} >= 100 and "
        f"{_lookups('=~hit|miss', '{day}', ' offset {w}')} >= 100", 900, 300,
        "The cache {{ $labels.cache }} of {{ $labels.service }} answers {{ $value | humanizePercentage }}, less than half of what it did",
        "The hit rate fell to less than half of the day before: every query now pays for the whole path.",
        "sum by (cache, result) (rate(rag_cache_lookups_total[15m]))",
        "A deployment changed the key or emptied the cache; its store was restarted or is full; people ask other things.",
    ),
    Alert(
        "RagEmptyRetrievals", "page",
        f"{_EMPTY} / ({_RETRIEVED} > 0) > 0.2 and {_RETRIEVED} >= 30", 600, 60,
        "{{ $value | humanizePercentage }} of the retrievals from {{ $labels.data_source }} in {{ $labels.service }} find nothing",
        "One retrieval in five finds no document: people get answers without a source, or none.",
        "sum by (data_source, result) (rate(rag_retrieval_requests_total[10m]))",
        "The index lost documents or is being built; a filter is too narrow; an embedding model was changed on one side only.",
    ),
    Alert(
        "RagRetrievalAccuracyLow", "ticket",
        f"{wilson(_GOOD, _JUDGED, Z, '+')} < {{accuracy}} and {_JUDGED} >= {{judgements}}", 21600, 0,
        "Retrieval of {{ $labels.service }} is good in at most {{ $value | humanizePercentage }} of judged queries ({{ $labels.source }})",
        "Even the upper bound of the accuracy's interval is below the target, over six hours and a hundred judgements.",
        "sum by (source, verdict) (increase(rag_judgements_total{target=\"retrieval\"}[6h]))",
        "Compare with what changed (rag_app_info): index, embedding model, chunking. `ragwatch queries --bad` "
        "lists the bad ones, `ragwatch show` has their documents and scores.",
    ),
    Alert(
        "RagRetrievalFell", "ticket",
        f"{_fell(target='retrieval')} and {_judged_enough(target='retrieval')}", 21600, 0,
        "Retrieval of {{ $labels.service }} is worse than the day before: good in at most {{ $value | humanizePercentage }} of what was "
        "judged by {{ $labels.source }}",
        "The share of good retrievals is below that of the day before, beyond chance (the intervals at z = 3.1 do not touch), "
        "whatever its target is. By `probe`: documents that are known to be there are not found.",
        'sum by (source, verdict) (increase(rag_judgements_total{target="retrieval"}[6h]))',
        "What changed (rag_app_info)? A deployed index that lacks a part, a shard that is away, a filter, another embedding model on "
        "one side. Roll back, or read the documents in again.",
    ),
    Alert(
        "RagCacheAnswersWorse", "ticket",
        f"{_fell(target='answer', cache='hit')} unless {_fell(target='answer', cache='miss')} "
        f"and {_judged_enough(target='answer', cache='hit')}", 21600, 0,
        "The cache of {{ $labels.service }} gives wrong answers: at most {{ $value | humanizePercentage }} of them are good now, and "
        "those that are made anew are as good as before ({{ $labels.source }})",
        "Answers from the cache are judged worse than in the day before, beyond chance (the intervals at z = 3.1 do not touch), and "
        "those that are made anew are not: what is wrong is the cache, not what retrieves or generates.",
        'sum by (cache, verdict) (increase(rag_judgements_total{target="answer"}[6h]))',
        "Empty the cache. Then its key: does it hold everything that changes the answer (tenant, language, index version)? A semantic "
        "cache: raise its threshold of similarity.",
    ),
    Alert(
        "RagSlow", "ticket",
        f"histogram_quantile(0.95, {total(rate(series('rag.query.duration', '_bucket', outcome=ANSWERED), '{w}'), 'le', *BY)}) > {{slow}} "
        f"and {_enough(_count(ANSWERED), 20)}", 600, 120,
        "95 of 100 queries of {{ $labels.service }} take up to {{ $value | humanizeDuration }}; most of it in " + slowest_step("{w}"),
        "The slow end of the queries is slower than the objective's threshold.",
        "topk(3, sum by (step) (rate(rag_query_critical_path_seconds_total[10m])))",
        "The step with most of the critical path: a slow model, a retriever without its index in memory, a retry that waits.",
    ),
    Alert(
        "RagTelemetryLost", "ticket",
        _LOST, 600, 0,
        "{{ $labels.service }} lost {{ $value | humanize }} items of {{ $labels.signal }}: {{ $labels.reason }}",
        "An SDK had to drop telemetry. The KPIs count every query all the same, unless `metrics` are among it.",
        "sum by (service, signal, reason) (increase(ragwatch_sdk_lost_total[1h]))",
        "`send_queue_full`, `shutdown`: the agent is down or far away. `queue_full`: raise OTEL_BSP_MAX_QUEUE_SIZE. "
        "`refused`: the receiver takes no such signal, or the token is wrong.",
    ),
    Alert(
        "RagwatchAgentBehind", "page",
        f"max by (job, instance) ({series('ragwatch.agent.inbox.oldest')}) > 60", 60, 120,
        "The agent {{ $labels.instance }} is {{ $value | humanizeDuration }} behind: what the dashboards show is old",
        "The pipeline does not keep up with what comes in. Nothing is lost: it is on disk.",
        "rate(ragwatch_agent_received_total[5m])",
        "Give it a whole core; send larger batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE); run one agent a host.",
    ),
    Alert(
        "RagwatchDeadLetters", "ticket",
        _more("ragwatch.agent.dead_letters", "reason"), 900, 0,
        "The agent set {{ $value | humanize }} request(s) aside: {{ $labels.reason }}",
        "Requests that could not be read, or that ended the pipeline's process, are kept aside.",
        "sum by (reason) (increase(ragwatch_agent_dead_letters_total[1d]))",
        "A sender that sends no OTLP; a version that is too new. The bodies are in pipeline.db, table dead_letters.",
    ),
    Alert(
        "RagKpisTwice", "ticket",
        f"count by (service, environment) (count by (service, environment, job) ({_QUERIES_SEEN})) > 1", 300, 300,
        "{{ $labels.service }}'s KPIs arrive by {{ $value }} ways at once: sums over them count twice",
        "The same KPIs come by a scrape of the agent and through a collector.",
        f"count by (job) ({_QUERIES_SEEN})",
        "Keep one: drop the scrape, or switch the metrics of the agent's upstream off.",
    ),
    Alert(
        "RagNoQueries", "ticket",
        f"{total(rate(_QUERIES_SEEN, '{w}'), *BY)} == 0 and {total(increase(_QUERIES_SEEN, '{day}'), *BY)} >= 100", 900, 0,
        "{{ $labels.service }} has had no query for a while, and had many within the day",
        "No query at all, where there usually are: the app is down, nobody reaches it, or its telemetry does not arrive.",
        "sum by (service) (rate(rag_query_duration_seconds_count[15m]))",
        "Ask the app itself; then `ragwatch.telemetry()` in it, then the agent's /readyz.",
    ),
    Alert(
        "RagwatchDown", "page",
        f"absent({series('ragwatch.build.info')})", 60, 120,
        "No agent of ragwatch is scraped: there are no KPIs, and none of the other alerts can fire",
        "Prometheus gets nothing from any agent.",
        "up",
        "Start the agent; see what it said; is the scrape's target right?",
    ),
    Alert(
        "Watchdog", "info", "vector(1)", 60, 0,
        "Always firing: the way from Prometheus to you works",
        "Fires always. When it stops, alerts do not reach you.",
        "vector(1)",
        "Route it to a dead man's switch.",
    ),
)  # fmt: skip
