"""The dashboards of what the app answers: overview, latency, retrieval quality, cost and tokens."""

from __future__ import annotations

from ragwatch.monitoring.kpis import ask
from ragwatch.monitoring.panels import NEUTRAL, Board, Level, Panel, Target, levels
from ragwatch.monitoring.promql import budget_left, nonzero
from ragwatch.monitoring.slo import NAMES, Slo, Slos
from ragwatch.monitoring.slo_rules import MOST_BAD

OVERVIEW, LATENCY, QUALITY, RESILIENCE, COST, INGESTION, ITSELF = (
    "ragwatch-overview", "ragwatch-latency", "ragwatch-quality", "ragwatch-resilience", "ragwatch-cost",
    "ragwatch-ingestion", "ragwatch-itself",
)  # fmt: skip
FAST_BURN = 6
"""So many times the budget is red: the slower of the two burns that page."""
_MODEL = "=~$model"


def _may(slo: Slo | None) -> tuple[Level, ...]:
    """Colours of a share of bad events: over the budget, and where it burns fast."""
    return NEUTRAL if slo is None else levels(slo.budget, _burns(slo))


def _must(slo: Slo | None) -> tuple[Level, ...]:
    """Colours of a share of good events."""
    return NEUTRAL if slo is None else levels(1 - slo.budget, 1 - _burns(slo), low_is_bad=True)


def _burns(slo: Slo) -> float:
    """The share of bad events that is red; with a target so low that it could not be reached, as the alerts have it."""
    return min(FAST_BURN * slo.budget, MOST_BAD)


def _within(slo: Slo | None) -> tuple[Level, ...]:
    """Colours of a time: half of what is slow, and slow."""
    if slo is None or slo.threshold_s is None:
        return NEUTRAL
    return levels(slo.threshold_s / 2, slo.threshold_s)


def _latencies() -> tuple[Target, ...]:
    return tuple(Target(ask("latency", q=q), f"p{q * 100:g}", q == 0.95) for q in (0.5, 0.95, 0.99))


def _accuracy(name: str) -> tuple[Target, ...]:
    """A share of judgements with its interval as a band."""
    return (
        Target(ask(name, bound="-"), "{{source}} low"),
        Target(ask(name, bound="+"), "{{source}} high"),
        Target(ask(name), "{{source}}"),
    )


def overview(slos: Slos, service: str | None = None) -> Board:
    """Is it up, right, fast, dear; the colours are those of the objectives (of a service, or of those without own)."""
    available, quick, found = (slos.objective(name, service) for name in ("availability", "latency", "retrieval"))
    named = [name for name in NAMES if any(slo.name == name for slo in slos.slos)] or list(NAMES)
    right = slos.accuracy_target
    return Board(
        OVERVIEW,
        "RAG: overview",
        "Is it up, is it right, is it fast, is it dear? Begin here; each tile leads to the dashboard that says why.",
        (
            ("Now", (
                Panel("How much of each error budget is left?", f"Of the objectives of your slo.yaml, over its window ({slos.window_days:g} days), "
                      "of the service that has least. 100 %: nothing bad yet. Below 0: the objective is missed; stop what "
                      "is risky and mend what the alerts name. No figure: the rules of `ragwatch rules` are not loaded.",
                      tuple(Target(budget_left(name), name) for name in named), "percentunit", "stat", 24, 4,
                      levels(0.5, 0.0, low_is_bad=True), link=RESILIENCE),
                Panel("Is it up?", "Share of queries that were answered. Below target: look at errors by step, then at "
                      "Resilience.", (Target(ask("availability"), "availability"),), "percentunit", "stat", 4, 4,
                      _must(available), 0, 1, link=RESILIENCE),
                Panel("Does it fail?", "Failed of all answered queries. Look at the step below and its error class.",
                      (Target(ask("error_rate"), "error rate"),), "percentunit", "stat", 4, 4, _may(available), 0, 1,
                      link=RESILIENCE),
                Panel("Is it fast?", "95 of 100 queries are faster than this. Look at Latency for the step that is slow.",
                      (Target(ask("latency"), "p95"),), "s", "stat", 4, 4, _within(quick), 0, link=LATENCY),
                Panel("Does it find the right documents?", "Share of judged retrievals that held a right document, over "
                      "the time shown, by who judged: a probe, whose document is known to be there, is no label. No "
                      "judgements: no figure; see Retrieval quality for health without labels.",
                      (Target(ask("retrieval_accuracy"), "{{source}}"),), "percentunit", "stat", 4, 4, levels(right, right - 0.1, low_is_bad=True),
                      0, 1, link=QUALITY),
                Panel("Does the cache help?", "Hits of all lookups. A fall means that the cache was emptied, that its key "
                      "changed, or that people ask other things.", (Target(ask("cache_hit_rate", ()), "hit rate"),), "percentunit", "stat",
                      4, 4, levels(0.3, 0.1, low_is_bad=True), 0, 1, link=LATENCY),
                Panel("What does it cost?", "US dollars an hour, of calls whose price is known. No figure: no price is; set `agent.prices`.",
                      (Target(ask("cost", ()), "per hour"),), "currencyUSD", "stat", 4, 4, NEUTRAL, 0, link=COST),
            )),
            ("The four questions", (
                Panel("How do queries end?", "A fast rejection, a fallback and a failure are three things. Rejected: a "
                      "breaker or limit said no. Degraded: a fallback answered.",
                      (Target(ask("throughput"), "{{outcome}}"),), "reqps", width=12, stacked=True, low=0, link=RESILIENCE),
                Panel("Which step fails, and how?", "Failures by the deepest failing step and its class: that is the cause, "
                      "its ancestors only carry it.",
                      (Target(nonzero(ask("errors"), "step"), "{{step}} {{error_class}}"),), "reqps", width=12, stacked=True, low=0,
                      link=RESILIENCE),
                Panel("How long do queries take?", "Half, 95 and 99 of 100 queries are faster. The dots are traces: follow "
                      "one to its steps.", _latencies(), "s", width=12, low=0, link=LATENCY),
                Panel("Does retrieval find nothing?", "Retrievals without a document, of all that worked. A jump: the index "
                      "lost documents, or a filter is too narrow.",
                      (Target(ask("empty_rate", ()), "empty"),), "percentunit", width=12, low=0, levels=_may(found), link=QUALITY),
                Panel("What runs, and since when?", "A line for each version with its index, prompt and configuration; the purple lines "
                      "are where one begins. Two at once: a rollout, or replicas that differ. What went wrong where a line "
                      "begins came with it: roll that back first.",
                      (Target(f"{ask('running', ('service', 'version', 'index_version', 'prompt_version', 'config_hash'), version='=~$version')} > 0",
                              "{{service}} {{version}}, index {{index_version}}, prompt {{prompt_version}}, config {{config_hash}}"),),
                      "short", "state", 24, 5, NEUTRAL, names=((1, "runs"),), link=RESILIENCE),
            )),
        ),
    )  # fmt: skip


LATENCY_BOARD = Board(
    LATENCY,
    "RAG: latency",
    "Which step do people wait for?",
    (
        ("Queries", (
            Panel("How long do queries take?", "Compare with the steps below. Dots are traces.", _latencies(), "s", width=12, low=0, link=RESILIENCE),
            Panel("How are they spread?", "Two bands mean two kinds of queries: with and without the cache, or one slow "
                  "replica.", (Target(ask("latency_buckets"), "{{le}}"),), "s", "heatmap", 12, link=RESILIENCE),
            Panel("Which step do queries wait for?", "Seconds of the critical path by step: they add up to the time of "
                  "all queries. Make the largest area smaller.",
                  (Target(ask("critical_path"), "{{step}}"),), "s", width=12, stacked=True, low=0, link=RESILIENCE),
            Panel("What share of a query is each step?", "The same as shares: a step that grows while the rest stays is where to look.",
                  (Target(ask("critical_path_share"), "{{step}}"),), "percentunit", width=12, stacked=True, low=0, high=1, link=RESILIENCE),
        )),
        ("Steps", (
            Panel("How slow is each step?", "95 of 100 calls of the step are faster. The dots are traces: follow "
                  "one. A step that is slow in every trace is its dependency; in some, look for a retry.",
                  (Target(ask("step_latency"), "{{step}}", True),), "s", width=12, low=0, link=RESILIENCE),
            Panel("How often is each step called?", "More generate than queries: an agent's loop, or retries.",
                  (Target(ask("step_calls"), "{{step}}"),), "reqps", width=12, low=0, link=RESILIENCE),
            Panel("How slow is each model?", "95 of 100 calls of the model are faster. One of several is slow: route to another; all "
                  "of a provider: its status page. Slow with more tokens: see Cost and tokens.",
                  (Target(ask("model_latency", gen_ai_request_model=_MODEL), "p95 {{gen_ai_request_model}}", True),), "s", low=0, link=COST),
            Panel("How long until the first word?", "Streams only: when people see that something happens. Slow while "
                  "generate as a whole is not: long prompts, or a queue at the provider; see Cost and tokens.",
                  (Target(ask("time_to_first_chunk", gen_ai_request_model=_MODEL), "p95 {{gen_ai_request_model}}"),), "s", low=0, link=COST),
            Panel("Does each cache help?", "Hits of all lookups, by cache. A fall to 0: its key changed or its store is "
                  "away; a slow fall: people ask other things.",
                  (Target(ask("cache_hit_rate"), "{{cache}}"),), "percentunit", low=0, high=1, link=COST),
        )),
    ),
    more={"model": ("rag.usage.calls", "model")},
)  # fmt: skip


def quality(slos: Slos, service: str | None = None) -> Board:
    """Does it find the right documents; the colours are those of the objectives."""
    found = slos.objective("retrieval", service)
    return Board(
        QUALITY,
        "RAG: retrieval quality",
        "Does it find the right documents? With judgements where there are some, and health without labels.",
        (
            ("Judged", (
                Panel("How accurate is retrieval?", "Good of all judged retrievals with Wilson's 95 % interval, over the "
                      "time shown, by who judged. A wide band: too few judgements to say. A band below the target: see "
                      "what changed (the purple lines), then the worst queries (`ragwatch queries --bad`).",
                      _accuracy("retrieval_accuracy"), "percentunit", low=0, high=1, band=True,
                      levels=levels(slos.accuracy_target, slos.accuracy_target - 0.1, low_is_bad=True), link=INGESTION),
                Panel("Are the answers right?", "The same for judged answers. Answers are worse while retrieval is as good: the prompt "
                      "or the model; both: retrieval.",
                      _accuracy("answer_accuracy"), "percentunit", low=0, high=1, band=True, link=COST),
                Panel("How many judgements is that?", "Judgements a second by source: labels, people's feedback, probes, judges. "
                      "None for long: nobody calls `ragwatch.feedback`, and accuracy above is of the past.",
                      (Target(ask("judgements"), "{{target}} {{source}} {{verdict}}"),), "short", low=0, stacked=True),
                Panel("What share of the right documents is found?", "Mean recall among the first k, of labelled queries. Low with a high "
                      "rank beside it: ask for more documents; low both: embedding, chunking, filters.",
                      (Target(ask("recall_at_k"), "recall@{{k}} ({{source}})"),), "percentunit", width=12, low=0, high=1, link=INGESTION),
                Panel("How high does the first right one stand?", "Mean reciprocal rank of labelled queries: 100 % is always first, 50 % "
                      "second. A fall with the same recall: the reranker.",
                      (Target(ask("mrr"), "MRR ({{source}})"),), "percentunit", width=12, low=0, high=1, link=LATENCY),
            )),
            ("Without labels", (
                Panel("Does it find nothing?", "Empty and below-threshold retrievals, of all that worked. A jump: "
                      "look whether documents still get in, then at filters and the threshold.",
                      (Target(ask("empty_rate", ()), "empty"), Target(ask("below_threshold_rate", ()), "below threshold")), "percentunit", low=0,
                      levels=_may(found), link=INGESTION),
                Panel("How many documents does it find?", "Mean and low end by data source; a step down is an index that lost "
                      "documents: see Ingestion, and what changed.",
                      (Target(ask("documents_per_retrieval"), "mean {{data_source}}"),
                       Target(ask("documents_low_end"), "p10 {{data_source}}")), "short", low=0, link=INGESTION),
                Panel("How sure is it?", "Medians of the best document's score, of the mean of the first ten, and of the first "
                      "minus the tenth: little between them, and the ranking says little. Of a distance less is better. A "
                      "diagnostic, never an accuracy: a new embedding model moves it without being worse.",
                      tuple(Target(ask(f"score_{name}"), f"{name} {{{{data_source}}}} ({{{{kind}}}})") for name in ("top", "mean", "spread")), "short"),
                Panel("How are the best scores spread?", "Each band is a kind of retrieval: one that moves or appears where "
                      "nothing was deployed is a fallback, another index, or other questions; compare with what changed.",
                      (Target(ask("score_buckets"), "{{le}}"),), "short", "heatmap", link=INGESTION),
                Panel("Does it return the same text twice?", "Duplicate chunks of all that were returned: the index holds copies, and "
                      "the model pays for them. Read the documents in again, with one id for each.",
                      (Target(ask("duplicate_share"), "{{data_source}}"),), "percentunit", low=0, link=INGESTION),
                Panel("Does it answer without documents?", "Answers of a model that saw no document, of all answers: made up, or "
                      "from memory. Let the app say that it does not know, and see why retrieval found nothing.",
                      (Target(ask("ungrounded_rate"), "without context"),), "percentunit", low=0, link=INGESTION),
                Panel("How old is what it serves?", "Median age of the documents as served, where they carry a date. A "
                      "line that climbs a day each day: nothing new gets in, see Ingestion.",
                      (Target(ask("document_age"), "{{data_source}}"),), "s", low=0, link=INGESTION),
            )),
        ),
    )  # fmt: skip


COST_BOARD = Board(
    COST,
    "RAG: cost and tokens",
    "What does it cost, and for what?",
    (
        ("Cost", (
            Panel("What does it cost an hour?", "By model, of calls whose price is known (no figure: none is; set "
                  "`agent.prices`). A rise: more queries, longer prompts, or an expensive model; see below.",
                  (Target(ask("cost", model=_MODEL), "{{model}}"),), "currencyUSD", width=12, stacked=True, low=0, link=OVERVIEW),
            Panel("What does a good answer cost?", "Cost of all calls by the answers that are good, were all as good "
                  "as the judged ones, over the time shown, by who judged. A cheap model whose answers are bad is dear. "
                  "A rise with the same cost an hour: answers got worse, see Retrieval quality.",
                  (Target(ask("cost_per_good_answer"), "by {{source}}"),), "currencyUSD", width=12, low=0, link=QUALITY),
        )),
        ("Tokens", (
            Panel("How many tokens go in and out?", "By kind. A rise of input alone: prompts or contexts grew.",
                  (Target(ask("tokens", ("gen_ai.token.type",), gen_ai_request_model=_MODEL), "{{gen_ai_token_type}}"),), "short", width=12,
                  stacked=True, low=0, link=QUALITY),
            Panel("Which model uses them?", "Tokens a second by model. A model that nobody meant to use is a default that "
                  "changed.",
                  (Target(ask("tokens", ("gen_ai.request.model",), gen_ai_request_model=_MODEL), "{{gen_ai_request_model}}"),), "short",
                  width=12, stacked=True, low=0, link=LATENCY),
            Panel("How many tokens has a call?", "95 of 100 calls have fewer. Input that climbs: conversations or contexts grow; "
                  "cut the documents or the history.",
                  (Target(ask("tokens_per_call", gen_ai_request_model=_MODEL), "{{gen_ai_request_model}} {{gen_ai_token_type}}"),), "short", width=12,
                  low=0, link=QUALITY),
            Panel("Are the counts whole?", "Calls whose usage is known, of all. Below 100 % every sum above is too low: "
                  "streams without usage, or an instrumentor that does not say.",
                  (Target(ask("token_coverage", model=_MODEL), "{{model}}"),), "percentunit", width=12, low=0, high=1,
                  levels=levels(0.95, 0.5, low_is_bad=True)),
        )),
    ),
    more={"model": ("rag.usage.calls", "model")},
)  # fmt: skip
