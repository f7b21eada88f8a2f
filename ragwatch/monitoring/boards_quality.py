"""The dashboards of what the app answers: overview, latency, retrieval quality, cost and tokens."""

from __future__ import annotations

from ragwatch.monitoring.panels import Board, Panel, Target, levels
from ragwatch.monitoring.promql import budget_left, nonzero, quantile, rate, series, share, total, wilson
from ragwatch.monitoring.slo import BUNDLED, slos_of

OVERVIEW, LATENCY, QUALITY, RESILIENCE, COST, INGESTION, ITSELF = (
    "ragwatch-overview", "ragwatch-latency", "ragwatch-quality", "ragwatch-resilience", "ragwatch-cost",
    "ragwatch-ingestion", "ragwatch-itself",
)  # fmt: skip
_OBJECTIVES = slos_of(BUNDLED, "the bundled objectives")
SLOS = {slo.name: slo for slo in _OBJECTIVES.slos}
"""The panels' thresholds: those of ``dashboards/slo.yaml``."""
FAST_BURN = 6
"""So many times the budget is red: the slower of the two burns that page."""
ANSWERED = "=~ok|degraded|error"
Z = 1.96


def _queries(outcome: str = "") -> str:
    labels = {"outcome": outcome} if outcome else {}
    return rate(series("rag.query.duration", "_count", scoped=True, **labels))


def _retrievals(result: str) -> str:
    return total(rate(series("rag.retrieval.requests", scoped=True, result=result)))


def _lookups(result: str) -> str:
    return rate(series("rag.cache.lookups", scoped=True, result=result))


ERROR_RATE = share(total(_queries("error")), total(_queries(ANSWERED)))
AVAILABILITY = share(total(_queries("=~ok|degraded")), total(_queries("=~ok|degraded|error|rejected")))
HIT_RATE = share(total(_lookups("hit")), total(_lookups("=~hit|miss")))
EMPTY_RATE = share(_retrievals("empty"), _retrievals("=~ok|empty|below_threshold"))
_GOOD = total(
    "increase(" + series("rag.judgements", scoped=True, target="retrieval", verdict="good") + "[$__range])", "source"
)
_JUDGED = total("increase(" + series("rag.judgements", scoped=True, target="retrieval") + "[$__range])", "source")
ACCURACY = share(_GOOD, _JUDGED)
COST_RATE = total(rate(series("rag.cost", scoped=True, known="true"))) + " * 3600"
_COST = total("increase(" + series("rag.cost", scoped=True, known="true") + "[$__range])")
_ANSWERED = total(
    "increase(" + series("rag.query.duration", "_count", scoped=True, outcome="=~ok|degraded") + "[$__range])"
)
_GOOD_ANSWERS, _JUDGED_ANSWERS = (
    total("increase(" + series("rag.judgements", scoped=True, target="answer", **verdict) + "[$__range])", "source")
    for verdict in ({"verdict": "good"}, {})
)
PER_GOOD_ANSWER = f"scalar({_COST}) * {_JUDGED_ANSWERS} / ({_GOOD_ANSWERS} > 0) / scalar({_ANSWERED} > 0)"
"""Most answers are judged by nobody: the good ones are those that were answered, times the share of good judgements.

Where no cost is known ``scalar`` is NaN, which is no figure; a 0 would say that answers are free.
"""

_MAY_FAIL = SLOS["availability"].budget
_MAY_BE_EMPTY = SLOS["retrieval"].budget
_SLOW_S = SLOS["latency"].threshold_s or 5.0
_RIGHT = _OBJECTIVES.accuracy_target

OVERVIEW_BOARD = Board(
    OVERVIEW,
    "RAG: overview",
    "Is it up, is it right, is it fast, is it dear? Begin here; each tile leads to the dashboard that says why.",
    (
        ("Now", (
            Panel("How much of each error budget is left?", "Of the objectives of your slo.yaml, over its window (30 days), "
                  "of the service that has least. 100 %: nothing bad yet. Below 0: the objective is missed; stop what "
                  "is risky and mend what the alerts name. No figure: the rules of `ragwatch rules` are not loaded.",
                  tuple(Target(budget_left(name), name) for name in SLOS), "percentunit", "stat", 24, 4,
                  levels(0.5, 0.0, low_is_bad=True), link=RESILIENCE),
            Panel("Is it up?", "Share of queries that were answered. Below target: look at errors by step, then at "
                  "Resilience.", (Target(AVAILABILITY, "availability"),), "percentunit", "stat", 4, 4,
                  levels(1 - _MAY_FAIL, 1 - FAST_BURN * _MAY_FAIL, low_is_bad=True), 0, 1, link=RESILIENCE),
            Panel("Does it fail?", "Failed of all answered queries. Look at the step below and its error class.",
                  (Target(ERROR_RATE, "error rate"),), "percentunit", "stat", 4, 4, levels(_MAY_FAIL, FAST_BURN * _MAY_FAIL), 0, 1,
                  link=RESILIENCE),
            Panel("Is it fast?", "95 of 100 queries are faster than this. Look at Latency for the step that is slow.",
                  (Target(quantile(0.95, "rag.query.duration", outcome=ANSWERED), "p95"),), "s", "stat", 4, 4,
                  levels(_SLOW_S / 2, _SLOW_S), 0, link=LATENCY),
            Panel("Does it find the right documents?", "Share of judged retrievals that held a right document, over "
                  "the time shown, by who judged: a probe, whose document is known to be there, is no label. No "
                  "judgements: no figure; see Retrieval quality for health without labels.",
                  (Target(ACCURACY, "{{source}}"),), "percentunit", "stat", 4, 4, levels(_RIGHT, _RIGHT - 0.1, low_is_bad=True),
                  0, 1, link=QUALITY),
            Panel("Does the cache help?", "Hits of all lookups. A fall means that the cache was emptied, that its key "
                  "changed, or that people ask other things.", (Target(HIT_RATE, "hit rate"),), "percentunit", "stat",
                  4, 4, levels(0.3, 0.1, low_is_bad=True), 0, 1, link=LATENCY),
            Panel("What does it cost?", "US dollars an hour, of calls whose price is known.",
                  (Target(COST_RATE, "per hour"),), "currencyUSD", "stat", 4, 4, ((None, "blue"),), 0, link=COST),
        )),
        ("The four questions", (
            Panel("How do queries end?", "A fast rejection, a fallback and a failure are three things. Rejected: a "
                  "breaker or limit said no. Degraded: a fallback answered.",
                  (Target(total(_queries(), "outcome"), "{{outcome}}"),), "reqps", width=12, stacked=True, low=0,
                  link=RESILIENCE),
            Panel("Which step fails, and how?", "Failures by the deepest failing step and its class: that is the cause, "
                  "its ancestors only carry it.",
                  (Target(nonzero(total(rate(series("rag.query.errors", scoped=True)), "step", "error_class"), "step"),
                          "{{step}} {{error_class}}"),), "reqps", width=12, stacked=True, low=0, link=RESILIENCE),
            Panel("How long do queries take?", "Half, 95 and 99 of 100 queries are faster. The dots are traces: follow "
                  "one to its steps.",
                  tuple(Target(quantile(q, "rag.query.duration", outcome=ANSWERED), f"p{q * 100:g}", q == 0.95)
                        for q in (0.5, 0.95, 0.99)), "s", width=12, low=0, link=LATENCY),
            Panel("Does retrieval find nothing?", "Retrievals without a document, of all that worked. A jump: the index "
                  "lost documents, or a filter is too narrow.",
                  (Target(EMPTY_RATE, "empty"),), "percentunit", width=12, low=0,
                  levels=levels(_MAY_BE_EMPTY, FAST_BURN * _MAY_BE_EMPTY), link=QUALITY),
        )),
    ),
)  # fmt: skip

_MODEL = "=~$model"
_PATH = total(rate(series("rag.query.critical_path", scoped=True)), "step")
LATENCY_BOARD = Board(
    LATENCY,
    "RAG: latency",
    "Which step do people wait for?",
    (
        ("Queries", (
            Panel("How long do queries take?", "Compare with the steps below. Dots are traces.",
                  tuple(Target(quantile(q, "rag.query.duration", outcome=ANSWERED), f"p{q * 100:g}", q == 0.95)
                        for q in (0.5, 0.95, 0.99)), "s", width=12, low=0),
            Panel("How are they spread?", "Two bands mean two kinds of queries: with and without the cache, or one slow "
                  "replica.",
                  (Target(total(rate(series("rag.query.duration", "_bucket", scoped=True)), "le"), "{{le}}"),), "s",
                  "heatmap", 12),
            Panel("Which step do queries wait for?", "Seconds of the critical path by step: they add up to the time of "
                  "all queries. Make the largest area smaller.",
                  (Target(_PATH, "{{step}}"),), "s", width=12, stacked=True, low=0),
            Panel("What share of a query is each step?", "The same as shares: a step that grows while the rest stays is where to look.",
                  (Target(f"{_PATH} / scalar({total(rate(series('rag.query.critical_path', scoped=True)))} > 0)",
                          "{{step}}"),), "percentunit", width=12, stacked=True, low=0, high=1),
        )),
        ("Steps", (
            Panel("How slow is each step?", "95 of 100 calls of the step are faster. The dots are traces: follow "
                  "one. A step that is slow in every trace is its dependency; in some, look for a retry.",
                  (Target(quantile(0.95, "rag.step.duration", "step"), "{{step}}", True),), "s", width=12, low=0,
                  link=RESILIENCE),
            Panel("How often is each step called?", "More generate than queries: an agent's loop, or retries.",
                  (Target(total(rate(series("rag.step.calls", scoped=True)), "step"), "{{step}}"),), "reqps", width=12,
                  low=0, link=RESILIENCE),
            Panel("How long until the first word?", "Streams only: when people see that something happens. Slow while "
                  "generate as a whole is not: long prompts, or a queue at the provider; see Cost and tokens.",
                  (Target(quantile(0.95, "gen_ai.client.operation.time_to_first_chunk", "gen_ai_request_model",
                                   gen_ai_request_model=_MODEL),
                          "p95 {{gen_ai_request_model}}"),), "s", width=12, low=0, link=COST),
            Panel("Does each cache help?", "Hits of all lookups, by cache. A fall to 0: its key changed or its store is "
                  "away; a slow fall: people ask other things.",
                  (Target(share(total(_lookups("hit"), "cache"), total(_lookups("=~hit|miss"), "cache")), "{{cache}}"),),
                  "percentunit", width=12, low=0, high=1),
        )),
    ),
    more={"model": ("rag.usage.calls", "model")},
)  # fmt: skip


def _labelled(name: str) -> str:
    return total("increase(" + series(name, scoped=True) + "[$__range])", "source", "k")


def _score(name: str, q: float) -> str:
    return quantile(q, name, "data_source", "kind")


def _mean(name: str, *by: str) -> str:
    """The mean of a histogram: exact, where a quantile is as coarse as the buckets."""
    added, count = (total(rate(series(name, suffix, scoped=True)), *by) for suffix in ("_sum", "_count"))
    return f"{added} / ({count} > 0)"


QUALITY_BOARD = Board(
    QUALITY,
    "RAG: retrieval quality",
    "Does it find the right documents? With judgements where there are some, and health without labels.",
    (
        ("Judged", (
            Panel("How accurate is retrieval?", "Good of all judged retrievals with Wilson's 95 % interval, over the "
                  "time shown, by who judged. A wide band: too few judgements to say. A band below the target: see "
                  "what changed (the purple lines), then the worst queries (`ragwatch queries --bad`).",
                  (Target(wilson(_GOOD, _JUDGED, Z, "-"), "{{source}} low"),
                   Target(wilson(_GOOD, _JUDGED, Z, "+"), "{{source}} high"), Target(ACCURACY, "{{source}}")), "percentunit", width=12, low=0, high=1, band=True),
            Panel("How many judgements is that?", "Judgements a second by source: labels, people's feedback, probes, judges. "
                  "None for long: nobody calls `ragwatch.feedback`, and accuracy above is of the past.",
                  (Target(total(rate(series("rag.judgements", scoped=True)), "target", "source", "verdict"),
                          "{{target}} {{source}} {{verdict}}"),), "short", width=12, low=0, stacked=True),
            Panel("What share of the right documents is found?", "Mean recall among the first k, of labelled queries. Low with a high "
                  "rank beside it: ask for more documents; low both: embedding, chunking, filters.",
                  (Target(share(_labelled("rag.labelled.recall"), _labelled("rag.labelled.queries")),
                          "recall@{{k}} ({{source}})"),), "percentunit", width=12, low=0, high=1),
            Panel("How high does the first right one stand?", "Mean reciprocal rank of labelled queries: 100 % is always first, 50 % "
                  "second. A fall with the same recall: the reranker.",
                  (Target(share(_labelled("rag.labelled.reciprocal_rank"), _labelled("rag.labelled.queries")),
                          "MRR ({{source}})"),), "percentunit", width=12, low=0, high=1),
        )),
        ("Without labels", (
            Panel("Does it find nothing?", "Empty and below-threshold retrievals, of all that worked. A jump: "
                  "look whether documents still get in, then at filters and the threshold.",
                  (Target(EMPTY_RATE, "empty"),
                   Target(share(_retrievals("below_threshold"), _retrievals("=~ok|empty|below_threshold")),
                          "below threshold")), "percentunit", low=0,
                  levels=levels(_MAY_BE_EMPTY, FAST_BURN * _MAY_BE_EMPTY), link=INGESTION),
            Panel("How many documents does it find?", "Mean and low end by data source; a step down is an index that lost "
                  "documents: see Ingestion, and what changed.",
                  (Target(_mean("rag.retrieval.documents", "data_source"), "mean {{data_source}}"),
                   Target(quantile(0.1, "rag.retrieval.documents", "data_source"), "p10 {{data_source}}")), "short",
                  low=0),
            Panel("How sure is it?", "Medians of the best document's score, of the mean of the first ten, and of the first "
                  "minus the tenth: little between them, and the ranking says little. Of a distance less is better. A "
                  "diagnostic, never an accuracy: a new embedding model moves it without being worse.",
                  (Target(_score("rag.retrieval.score.top", 0.5), "top {{data_source}} ({{kind}})"),
                   Target(_score("rag.retrieval.score.mean", 0.5), "mean {{data_source}} ({{kind}})"),
                   Target(_score("rag.retrieval.score.spread", 0.5), "spread {{data_source}} ({{kind}})")), "short"),
            Panel("How are the best scores spread?", "Each band is a kind of retrieval: one that moves or appears where "
                  "nothing was deployed is a fallback, another index, or other questions; compare with what changed.",
                  (Target(total(rate(series("rag.retrieval.score.top", "_bucket", scoped=True)), "le"), "{{le}}"),),
                  "short", "heatmap"),
            Panel("Does it return the same text twice?", "Duplicate chunks within one retrieval: the index holds copies, and "
                  "the model pays for them. Read the documents in again, with one id for each.",
                  (Target(total(rate(series("rag.retrieval.duplicates", scoped=True)), "data_source"),
                          "{{data_source}}"),), "cps", low=0, link=INGESTION),
            Panel("Does it answer without documents?", "Answers of a model that saw no document, of all answers: made up, or "
                  "from memory. Let the app say that it does not know, and see why retrieval found nothing.",
                  (Target(share(total(rate(series("rag.answers", scoped=True, grounding="without_context"))),
                                total(rate(series("rag.answers", scoped=True)))), "without context"),), "percentunit",
                  low=0),
            Panel("How old is what it serves?", "Median age of the documents as served, where they carry a date. A "
                  "line that climbs a day each day: nothing new gets in, see Ingestion.",
                  (Target(quantile(0.5, "rag.document.age", "data_source"), "{{data_source}}"),), "s", low=0,
                  link=INGESTION),
        )),
    ),
)  # fmt: skip

_TOKENS = series("gen_ai.client.token.usage", "_sum", scoped=True, gen_ai_request_model=_MODEL)
COST_BOARD = Board(
    COST,
    "RAG: cost and tokens",
    "What does it cost, and for what?",
    (
        ("Cost", (
            Panel("What does it cost an hour?", "By model, of calls whose price is known (no figure: none is; set "
                  "`agent.prices`). A rise: more queries, longer prompts, or an expensive model; see below.",
                  (Target(total(rate(series("rag.cost", scoped=True, known="true", model=_MODEL)), "model") + " * 3600", "{{model}}"),),
                  "currencyUSD", width=12, stacked=True, low=0),
            Panel("What does a good answer cost?", "Cost of all calls by the answers that are good, were all as good "
                  "as the judged ones, over the time shown, by who judged. A cheap model whose answers are bad is dear. "
                  "A rise with the same cost an hour: answers got worse, see Retrieval quality.",
                  (Target(PER_GOOD_ANSWER, "by {{source}}"),),
                  "currencyUSD", width=12, low=0),
        )),
        ("Tokens", (
            Panel("How many tokens go in and out?", "By kind. A rise of input alone: prompts or contexts grew.",
                  (Target(total(rate(_TOKENS), "gen_ai_token_type"), "{{gen_ai_token_type}}"),), "short", width=12,
                  stacked=True, low=0),
            Panel("Which model uses them?", "Tokens a second by model. A model that nobody meant to use is a default that "
                  "changed.",
                  (Target(total(rate(_TOKENS), "gen_ai_request_model"), "{{gen_ai_request_model}}"),), "short",
                  width=12, stacked=True, low=0),
            Panel("How many tokens has a call?", "95 of 100 calls have fewer. Input that climbs: conversations or contexts grow; "
                  "cut the documents or the history.",
                  (Target(quantile(0.95, "gen_ai.client.token.usage", "gen_ai_token_type", "gen_ai_request_model",
                                   gen_ai_request_model=_MODEL),
                          "{{gen_ai_request_model}} {{gen_ai_token_type}}"),), "short", width=12, low=0),
            Panel("Are the counts whole?", "Calls whose usage is known, of all. Below 100 % every sum above is too low: "
                  "streams without usage, or an instrumentor that does not say.",
                  (Target(share(total(rate(series("rag.usage.calls", scoped=True, known="true", model=_MODEL)), "model"),
                                total(rate(series("rag.usage.calls", scoped=True, model=_MODEL)), "model")), "{{model}}"),),
                  "percentunit", width=12, low=0, high=1, levels=levels(0.95, 0.5, low_is_bad=True)),
        )),
    ),
    more={"model": ("rag.usage.calls", "model")},
)  # fmt: skip
