"""Every alert on an app, declared once: what fires it, what it says, and its section of the runbooks.

Each has a minimum of events, and what is a share is judged by its interval (``evidence``), so that low traffic does not
make it flap.
"""

from __future__ import annotations

from typing import Final

from ragwatch.monitoring.agent_alerts import AGENT_ALERTS
from ragwatch.monitoring.alert import JUDGEMENTS, Alert, Least, Z, most, retried_step, slowest_step, worst_step
from ragwatch.monitoring.evidence import amplified, beyond, collapsed, fell, judged_enough, silent, slow
from ragwatch.monitoring.kpis import BY
from ragwatch.monitoring.promql import increase, series, total, wilson

_SUFFERS = most(
    "rag.step.calls",
    ("step",),
    "{600s}",
    "{{ .Labels.step }}",
    step="!~query|tool",
    outcome="=~error|rejected|degraded",
)
_OPEN = f"max by (service, environment, breaker) (max_over_time({series('rag.breaker.state', state='=~open|forced_open')}[{{w}}]))"
_HURT = total(increase(series("rag.breaker.calls", result="=~failure|slow|rejected|late"), "{3600s}"), *BY, "breaker")
_MANY_JUDGEMENTS = Least(100, JUDGEMENTS)
_RETRIEVAL_AT_BEST = wilson("rag:retrieval_good:increase6h", "rag:retrieval_judged:increase6h", Z, "+")

APP_ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        "RagErrorRate", "page",
        beyond("rag:step_errors:increase5m", "rag:step_tried:increase5m", "{failing}"), 300, 60, Least(20, "queries"),
        "{{ $value | humanizePercentage }} of {{ $labels.service }}'s queries fail in {{ $labels.step }}; most in " + worst_step("{w}"),
        "One step was the cause of the failure of more queries than `page_above` of the availability objective allows (one in ten), "
        "over five minutes and beyond chance.",
        "topk(5, sum by (step, error_class) (rate(rag_query_errors_total[5m])))",
        "The step's dependency: restart or fail over what it calls; `rate_limited`: lower the load or ask for more quota; "
        "`auth`: a key ran out; `context_length`: a prompt or the number of documents grew.",
    ),
    Alert(
        "RagBreakerOpen", "page",
        f"{_OPEN} > 0 and {_HURT} >= {{least}}", 60, 0, Least(5, "calls in an hour that failed or were turned away"),
        "The breaker {{ $labels.breaker }} of {{ $labels.service }} is open in {{ $value }} process(es): what is behind it is down; "
        "the step that suffers is " + _SUFFERS,
        "A circuit breaker turns calls away because what it guards failed again and again. One that is open while nobody calls "
        "hurts nobody, and is no alert. Queries are degraded where a "
        "fallback answers, rejected where none does.",
        "sum by (breaker, result) (rate(rag_breaker_calls_total[5m]))",
        "Bring the dependency back; the breaker probes by itself and closes. `forced_open`: somebody opened it by hand.",
    ),
    Alert(
        "RagRetryStorm", "page",
        amplified(1.5), 300, 60, Least(20, "calls"),
        "{{ $value | humanize }} attempts a call of {{ $labels.operation }} in {{ $labels.service }}: retries multiply the load; "
        "most in " + retried_step("{w}"),
        "Retries add half or more to the load of something that is failing already, beyond chance.",
        "sum by (operation, result) (rate(rag_retry_calls_total[5m]))",
        "Put the call behind a breaker and under a retry budget; look at what fails beneath it.",
    ),
    Alert(
        "RagCacheCollapse", "ticket",
        collapsed(), 900, 300, Least(100, "lookups"),
        "The cache {{ $labels.cache }} of {{ $labels.service }} answers {{ $value | humanizePercentage }}, less than half of what it "
        "did; the step is cache",
        "The hit rate fell to less than half of what it was in the week before the last day, beyond chance (the intervals at z = 3.1 do "
        "not touch): every query now pays for the whole path.",
        "sum by (cache, result) (rate(rag_cache_lookups_total[15m]))",
        "A deployment changed the key or emptied the cache; its store was restarted or is full; people ask other things.",
    ),
    Alert(
        "RagEmptyRetrievals", "page",
        beyond("rag:empty_retrievals:increase10m", "rag:retrievals:increase10m", "{empty}"), 600, 60, Least(30, "retrievals"),
        "{{ $value | humanizePercentage }} of the retrievals from {{ $labels.data_source }} in {{ $labels.service }} find nothing; "
        "the step is retrieve",
        "More retrievals find no document than `page_above` of the retrieval objective allows (one in five), beyond chance: people get "
        "answers without a source, or none.",
        "sum by (data_source, result) (rate(rag_retrieval_requests_total[10m]))",
        "The index lost documents or is being built; a filter is too narrow; an embedding model was changed on one side only.",
    ),
    Alert(
        "RagRetrievalAccuracyLow", "ticket",
        f"{_RETRIEVAL_AT_BEST} < {{accuracy}} and rag:retrieval_judged:increase6h >= {{least}}", 21600, 0, _MANY_JUDGEMENTS,
        "Retrieval of {{ $labels.service }} is good in at most {{ $value | humanizePercentage }} of judged queries ({{ $labels.source }}); "
        "the step is retrieve",
        "Even the upper bound of the accuracy's interval is below the target, over six hours and a hundred judgements.",
        "sum by (source, verdict) (increase(rag_judgements_total{target=\"retrieval\"}[6h]))",
        "Compare with what changed (rag_app_info): index, embedding model, chunking. `ragwatch queries --bad` "
        "lists the bad ones, `ragwatch show` has their documents and scores.",
    ),
    Alert(
        "RagRetrievalFell", "ticket",
        f"{fell('retrieval')} and {judged_enough('retrieval')}", 21600, 0, _MANY_JUDGEMENTS,
        "Retrieval of {{ $labels.service }} is worse than before: good in at most {{ $value | humanizePercentage }} of what was "
        "judged by {{ $labels.source }}; the step is retrieve",
        "The share of good retrievals of the last six hours is below that of the week before the last day (in its first days: of the day "
        "before), beyond chance (the intervals at z = 3.1 do not touch), whatever its target is. It goes on until it is mended, or for "
        "about five days: then most of the week is as bad. By `probe`: documents that are known to be there are not found.",
        'sum by (source, verdict) (increase(rag_judgements_total{target="retrieval"}[6h]))',
        "What changed (rag_app_info)? A deployed index that lacks a part, a shard that is away, a filter, another embedding model on "
        "one side. Roll back, or read the documents in again.",
    ),
    Alert(
        "RagCacheAnswersWorse", "ticket",
        f"{fell('hit_answers')} unless {fell('new_answers')} and {judged_enough('hit_answers')}", 21600, 0, _MANY_JUDGEMENTS,
        "The cache of {{ $labels.service }} gives wrong answers: at most {{ $value | humanizePercentage }} of them are good now, and "
        "those that are made anew are as good as before ({{ $labels.source }}); the step is cache",
        "Answers from the cache are judged worse than in the week before the last day (in its first days: than the day before), beyond "
        "chance (the intervals at z = 3.1 do not touch; for up to about five days, as RagRetrievalFell), and "
        "those that are made anew are not: what is wrong is the cache, not what retrieves or generates.",
        'sum by (cache, verdict) (increase(rag_judgements_total{target="answer"}[6h]))',
        "Empty the cache. Then its key: does it hold everything that changes the answer (tenant, language, index version)? A semantic "
        "cache: raise its threshold of similarity.",
    ),
    Alert(
        "RagSlow", "ticket",
        slow(), 600, 120, Least(20, "queries"),
        "95 of 100 queries of {{ $labels.service }} take up to {{ $value | humanizeDuration }}; most of it in " + slowest_step("{w}"),
        "The slow end of the queries is slower than the objective's threshold, and more of them are than its target allows, beyond chance.",
        "topk(3, sum by (step) (rate(rag_query_critical_path_seconds_total[10m])))",
        "The step with most of the critical path: a slow model, a retriever without its index in memory, a retry that waits.",
    ),
    Alert(
        "RagNoQueries", "ticket",
        silent(), 900, 900, Least(20, "queries at the same time of the week before"),
        "{{ $labels.service }} has no query, and had {{ $value | humanize }} at this time of the week before",
        "No query at all for a quarter of an hour (an hour, six, a day: as many as it takes for twenty to be expected), where the same time a "
        "week ago had them: the app is down, nobody reaches it, or its telemetry does not arrive. What is quiet at night or on Sundays "
        "was so a week ago; a holiday was not. In a service's first week nothing is said.",
        "sum by (service) (rate(rag_query_duration_seconds_count[15m]))",
        "Ask the app itself; then `ragwatch.telemetry()` in it, then the agent's /readyz.",
    ),
)  # fmt: skip
ALERTS: Final[tuple[Alert, ...]] = (*APP_ALERTS, *AGENT_ALERTS)
