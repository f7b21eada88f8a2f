"""Every KPI of ragwatch, declared once: panels, recording rules, ``metrics()`` and ``docs/metrics.md`` derive from it.

A KPI is made of sums alone, so that processes and replicas add up; ``monitoring.kpis`` makes PromQL of it. What is
unknown is absent, never 0: the words in ``absent`` say what that means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from ragwatch.errors import CatalogueError

Shape = Literal["share", "split", "rate", "quantile", "mean", "now", "per_good"]
NOTHING: Final = "its denominator is 0: nothing can be said"


@dataclass(frozen=True, slots=True)
class Part:
    """Series of one metric: of each label in ``where`` those that have one of the values (or match ``!=…``).

    Of a histogram that is the number of its observations, or their sum where ``added``.
    """

    metric: str
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    added: bool = False


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI.

    ``shape`` says what is made of ``of`` and ``per``: ``share`` their ratio, both split by the labels ``by``; ``split``
    the same, but the whole is not split; ``rate`` so many a second, times ``scale``; ``quantile`` (``q`` the first of
    which is shown where only one is) and ``mean`` of a histogram; ``now`` the level of a gauge; ``per_good`` a ratio
    whose whole counts only as far as judgements (``good`` of ``judged``) were good. ``sparse`` events are counted over
    the time that is looked at, since few of them fall into one window. ``squares`` is the sum that a t interval needs.
    """

    name: str
    title: str
    formula: str
    shape: Shape
    of: Part
    per: Part | None = None
    by: tuple[str, ...] = ()
    q: tuple[float, ...] = (0.95,)
    scale: float = 1.0
    sparse: bool = False
    interval: Literal["", "wilson", "t"] = ""
    squares: str = ""
    good: Part | None = None
    judged: Part | None = None
    absent: str = NOTHING


ANSWERED: Final = ("ok", "degraded", "error")
"""Outcomes of queries that were tried to the end."""
_QUERIES: Final = "rag.query.duration"
_CALLED: Final = ("gen_ai.request.model",)
_NO_QUERY: Final = "no query has ended in the window"
_NO_STEP: Final = "no such step has ended in the window"
_NO_RETRIEVAL: Final = "nothing was retrieved in the window"
_NO_LABEL: Final = "no query came with a label"
_NO_SCORE: Final = "the retriever gives no scores"
_NO_BREAKER: Final = "the app has no breaker"
_NO_RETRY: Final = "no call was made under a retry policy"
_NO_LIMIT: Final = "the app has no limit"
_NO_INGESTION: Final = "no ingestion has run"
_NO_AGENT: Final = "no agent is scraped"


def _ended(*outcomes: str) -> Part:
    return Part(_QUERIES, {"outcome": outcomes} if outcomes else {})


def _judged(target: str, *verdict: str) -> Part:
    return Part("rag.judgements", {"target": (target,), **({"verdict": verdict} if verdict else {})})


def _retrieved(*results: str) -> Part:
    return Part("rag.retrieval.requests", {"result": results})


_WORKED: Final = _retrieved("ok", "empty", "below_threshold")
_LABELLED: Final = Part("rag.labelled.queries")

GROUPS: Final[dict[str, tuple[Kpi, ...]]] = {
    "Answers": (
        Kpi("throughput", "How many queries are there?", "queries a second, by outcome: a rejection, a fallback and a failure are three things",
            "rate", _ended(), by=("outcome",), absent="no query has ended, and no SDK has reported"),
        Kpi("availability", "Is it up?", "(ok + degraded) / (ok + degraded + error + rejected)", "share",
            _ended("ok", "degraded"), _ended("ok", "degraded", "error", "rejected"), absent=_NO_QUERY),
        Kpi("error_rate", "Does it fail?", "error / (ok + degraded + error); rejected, cancelled, incomplete are rates of their own", "share",
            _ended("error"), _ended(*ANSWERED), absent=_NO_QUERY),
        Kpi("degraded_rate", "How many does a fallback answer?", "degraded / (ok + degraded + error)", "share",
            _ended("degraded"), _ended(*ANSWERED), absent=_NO_QUERY),
        Kpi("rejected_rate", "How many are turned away?", "rejected / (ok + degraded + error + rejected), by a breaker or a limit", "share",
            _ended("rejected"), _ended(*ANSWERED, "rejected"), absent=_NO_QUERY),
        Kpi("cancelled_rate", "How many does the caller give up?", "cancelled / all queries: people who left, or a timeout above the app", "share",
            _ended("cancelled"), _ended(), absent=_NO_QUERY),
        Kpi("incomplete_rate", "How many have no end?", "incomplete / all queries: the root span never came, so nobody knows how they ended", "share",
            _ended("incomplete"), _ended(), absent=_NO_QUERY),
        Kpi("errors", "Which step fails, and how?", "failed queries a second by the deepest failing step and the class of its error; one a query", "rate",
            Part("rag.query.errors"), by=("step", "error_class"), absent="no query has ended; 0 says that none has failed"),
    ),
    "Time": (
        Kpi("latency", "Is it fast?", "quantile 0.95 (0.5, 0.99) of rag.query.duration over outcomes ok, degraded, error", "quantile",
            _ended(*ANSWERED), q=(0.95, 0.5, 0.99), absent=_NO_QUERY),
        Kpi("latency_buckets", "How are queries spread?", "queries a second by bucket of rag.query.duration", "rate",
            Part(_QUERIES), by=("le",), absent="no query has ended, and no SDK has reported"),
        Kpi("critical_path", "Which step do queries wait for?", "seconds a second that queries waited for the step; adds up to the queries' time", "rate",
            Part("rag.query.critical_path"), by=("step",), absent="no query has ended"),
        Kpi("critical_path_share", "What share of a query is each step?", "seconds on the critical path in the step / seconds on it in all steps", "split",
            Part("rag.query.critical_path"), Part("rag.query.critical_path"), by=("step",), absent=_NO_QUERY),
        Kpi("step_latency", "How slow is each step?", "quantile 0.95 of rag.step.duration, by step", "quantile",
            Part("rag.step.duration"), by=("step",), absent=_NO_STEP),
        Kpi("step_calls", "How often is each step called?", "steps a second, by step", "rate", Part("rag.step.calls"), by=("step",), absent="no step has ended"),
        Kpi("model_latency", "How slow is each model?", "quantile 0.95 of gen_ai.client.operation.duration, by model", "quantile",
            Part("gen_ai.client.operation.duration"), by=_CALLED, absent="no model was called in the window"),
        Kpi("time_to_first_chunk", "How long until the first word?", "quantile 0.95 of gen_ai.client.operation.time_to_first_chunk, by model", "quantile",
            Part("gen_ai.client.operation.time_to_first_chunk"), by=_CALLED, absent="nothing was streamed in the window"),
        Kpi("cache_hit_rate", "Does the cache help?", "hit / (hit + miss), by cache; stale and error are neither", "share",
            Part("rag.cache.lookups", {"result": ("hit",)}), Part("rag.cache.lookups", {"result": ("hit", "miss")}), by=("cache",),
            absent="no cache was asked in the window, or no step said whether it hit"),
    ),
    "Retrieval, judged": (
        Kpi("retrieval_accuracy", "Does it find the right documents?", "good / (good + bad) of judged retrievals, by source, Wilson's interval", "share",
            _judged("retrieval", "good"), _judged("retrieval"), by=("source",), sparse=True, interval="wilson", absent="nobody has judged a retrieval"),
        Kpi("answer_accuracy", "Are the answers right?", "good / (good + bad) of judged answers, by source, Wilson's interval", "share",
            _judged("answer", "good"), _judged("answer"), by=("source",), sparse=True, interval="wilson", absent="nobody has judged an answer"),
        Kpi("judgements", "How many judgements is that?", "judgements a second, by target, source and verdict", "rate",
            Part("rag.judgements"), by=("target", "source", "verdict"), absent="nobody has judged anything"),
        Kpi("hit_rate_at_k", "How often is a right document among the first k?", "rag.labelled.hits / rag.labelled.queries, by source and k, Wilson's interval",
            "share", Part("rag.labelled.hits"), _LABELLED, by=("source", "k"), sparse=True, interval="wilson", absent=_NO_LABEL),
        Kpi("recall_at_k", "What share of the right documents is found?", "rag.labelled.recall / rag.labelled.queries, by source and k, t interval", "share",
            Part("rag.labelled.recall"), _LABELLED, by=("source", "k"), sparse=True, interval="t", squares="rag.labelled.recall.squares", absent=_NO_LABEL),
        Kpi("mrr", "How high does the first right document stand?", "rag.labelled.reciprocal_rank / rag.labelled.queries, by source and k, t interval", "share",
            Part("rag.labelled.reciprocal_rank"), _LABELLED, by=("source", "k"), sparse=True, interval="t", squares="rag.labelled.reciprocal_rank.squares",
            absent=_NO_LABEL),
    ),
    "Retrieval, without labels": (
        Kpi("empty_rate", "Does it find nothing?", "empty / (ok + empty + below_threshold), by data source", "share",
            _retrieved("empty"), _WORKED, by=("data_source",), absent="nothing was retrieved in the window, or every answer came from a cache"),
        Kpi("below_threshold_rate", "Does it find nothing good enough?", "below_threshold / (ok + empty + below_threshold), by data source", "share",
            _retrieved("below_threshold"), _WORKED, by=("data_source",), absent="nothing was retrieved in the window, or every answer came from a cache"),
        Kpi("documents_per_retrieval", "How many documents does it find?", "mean of rag.retrieval.documents, by data source", "mean",
            Part("rag.retrieval.documents"), by=("data_source",), absent=_NO_RETRIEVAL),
        Kpi("documents_low_end", "How few does it find at worst?", "quantile 0.1 of rag.retrieval.documents, by data source", "quantile",
            Part("rag.retrieval.documents"), by=("data_source",), q=(0.1,), absent=_NO_RETRIEVAL),
        Kpi("score_top", "How good is the best document?", "quantile 0.5 of rag.retrieval.score.top, by data source and kind; a diagnostic, never accuracy",
            "quantile", Part("rag.retrieval.score.top"), by=("data_source", "kind"), q=(0.5,), absent=_NO_SCORE),
        Kpi("score_mean", "How good are the first ten?", "quantile 0.5 of rag.retrieval.score.mean, by data source and kind", "quantile",
            Part("rag.retrieval.score.mean"), by=("data_source", "kind"), q=(0.5,), absent=_NO_SCORE),
        Kpi("score_spread", "Does the ranking tell them apart?", "quantile 0.5 of rag.retrieval.score.spread (first minus tenth), by data source and kind",
            "quantile", Part("rag.retrieval.score.spread"), by=("data_source", "kind"), q=(0.5,), absent=_NO_SCORE),
        Kpi("score_buckets", "How are the best scores spread?", "retrievals a second by bucket of rag.retrieval.score.top", "rate",
            Part("rag.retrieval.score.top"), by=("le",), absent=_NO_SCORE),
        Kpi("duplicate_share", "Does it return the same text twice?", "rag.retrieval.duplicates / documents returned, by data source", "share",
            Part("rag.retrieval.duplicates"), Part("rag.retrieval.documents", added=True), by=("data_source",), absent="no document was returned in the window"),
        Kpi("ungrounded_rate", "Does it answer without documents?", "without_context / (with_context + without_context): the generator saw no document", "share",
            Part("rag.answers", {"grounding": ("without_context",)}), Part("rag.answers"), absent="no generator has answered in the window"),
        Kpi("document_age", "How old is what it serves?", "quantile 0.5 of rag.document.age, by data source", "quantile",
            Part("rag.document.age"), by=("data_source",), q=(0.5,), absent="documents carry no date"),
    ),
    "Cost": (
        Kpi("cost", "What does it cost an hour?", "rag.cost (known=true) a second × 3600, US dollars, by model", "rate",
            Part("rag.cost", {"known": ("true",)}), by=("model",), scale=3600, absent="no cost is known: no call, or no price (`agent.prices`)"),
        Kpi("cost_per_good_answer", "What does a good answer cost?",
            "rag.cost (known=true) / (queries answered × good / judged answers), by source of the judgement: not every answer is judged", "per_good",
            Part("rag.cost", {"known": ("true",)}), _ended("ok", "degraded"), by=("source",), sparse=True, good=_judged("answer", "good"), judged=_judged("answer"),
            absent="no cost is known, or no answer was judged good"),
        Kpi("tokens", "How many tokens go in and out?", "tokens a second (sum of gen_ai.client.token.usage), by kind and model", "rate",
            Part("gen_ai.client.token.usage", added=True), by=("gen_ai.token.type", "gen_ai.request.model"), absent="no model call said how many tokens it used"),
        Kpi("tokens_per_call", "How many tokens has a call?", "quantile 0.95 of gen_ai.client.token.usage, by kind and model", "quantile",
            Part("gen_ai.client.token.usage"), by=("gen_ai.token.type", "gen_ai.request.model"), absent="no model call said how many tokens it used"),
        Kpi("token_coverage", "Are the counts whole?", "model calls whose tokens are known / all model calls, by model", "share",
            Part("rag.usage.calls", {"known": ("true",)}), Part("rag.usage.calls"), by=("model",), absent="no model was called in the window"),
    ),
    "Resilience": (
        Kpi("breaker_state", "Which breaker is open?", "processes whose breaker is in the state, by breaker and state; one in open or forced_open is enough", "now",
            Part("rag.breaker.state"), by=("breaker", "state"), absent=_NO_BREAKER),
        Kpi("breaker_transitions", "How often does a breaker change?", "transitions a second, by breaker, from and to", "rate",
            Part("rag.breaker.transitions"), by=("breaker", "from", "to"), absent=_NO_BREAKER),
        Kpi("breaker_open_time", "How long is it open?", "seconds open a second, summed over processes: 1 is one of them open all the time", "rate",
            Part("rag.breaker.open_time"), by=("breaker",), absent=_NO_BREAKER),
        Kpi("breaker_rejected", "Whom does a breaker turn away?", "rejected / all calls at the breaker", "share",
            Part("rag.breaker.calls", {"result": ("rejected",)}), Part("rag.breaker.calls"), by=("breaker",), absent="nothing was called through it in the window"),
        Kpi("breaker_shared", "Do the processes decide together?", "processes that share the breaker's state / processes with the breaker", "share",
            Part("rag.breaker.shared"), Part("rag.breaker.state"), by=("breaker",), absent=_NO_BREAKER),
        Kpi("retry_amplification", "Do retries pile up?", "rag.retry.attempts / rag.retry.calls, by operation; along a path it multiplies", "share",
            Part("rag.retry.attempts"), Part("rag.retry.calls"), by=("operation",), absent=_NO_RETRY + " in the window"),
        Kpi("retry_attempts", "How many attempts are there?", "attempts a second of calls under a retry policy, by operation", "rate",
            Part("rag.retry.attempts"), by=("operation",), absent=_NO_RETRY),
        Kpi("step_retries", "Which step tries again?", "attempts a second beyond the first, by step; those of libraries where they say so, too", "rate",
            Part("rag.step.retries"), by=("step",), absent="no step has ended; 0 says that none needed a second attempt"),
        Kpi("retry_wasted", "What do retries cost?", "seconds a second in attempts that failed and in waits, by operation", "rate",
            Part("rag.retry.wasted"), by=("operation",), absent=_NO_RETRY + " that failed"),
        Kpi("retry_results", "How do calls under a retry end?", "calls a second under a retry policy, by result", "rate",
            Part("rag.retry.calls"), by=("result",), absent=_NO_RETRY),
        Kpi("limit_rejected", "Which limit turns calls away?", "calls a second that a limit turned away, by limit and reason", "rate",
            Part("rag.limit.rejected"), by=("limit", "reason"), absent=_NO_LIMIT),
        Kpi("limit_concurrency", "How much is let through at once?", "the bound now, summed over processes, by limit", "now",
            Part("rag.limit.concurrency"), by=("limit",), absent=_NO_LIMIT),
    ),
    "Ingestion": (
        Kpi("ingest_throughput", "How many documents get in?", "documents a second, by pipeline and outcome", "rate",
            Part("rag.ingest.documents"), by=("pipeline", "outcome"), absent=_NO_INGESTION),
        Kpi("ingest_failed_rate", "What share does not get in?", "(failed + dead) / (ok + failed + dead): deferred and unchanged were not tried", "share",
            Part("rag.ingest.documents", {"outcome": ("failed", "dead")}), Part("rag.ingest.documents", {"outcome": ("ok", "failed", "dead")}), by=("pipeline",),
            absent="no document was tried in the window"),
        Kpi("ingest_latency", "How long does a document take?", "quantile 0.95 of rag.ingest.duration, by pipeline and outcome", "quantile",
            Part("rag.ingest.duration"), by=("pipeline", "outcome"), absent="no document was tried in the window"),
        Kpi("ingest_backlog", "How many documents wait?", "documents that are known and not done, by pipeline", "now",
            Part("rag.ingest.backlog"), by=("pipeline",), absent=_NO_INGESTION),
        Kpi("ingest_oldest", "How stale is the index?", "age of the document that waits longest, by pipeline", "now",
            Part("rag.ingest.oldest"), by=("pipeline",), absent=_NO_INGESTION),
    ),
    "What runs": (
        Kpi("running", "What runs, and since when?", "1 where a process said so, by version, configuration, index, embedding model and prompt", "now",
            Part("rag.app.info"), by=("version", "config_hash", "index_version", "embedding_model", "prompt_version"), absent="no SDK has reported"),
    ),
    "ragwatch itself": (
        Kpi("telemetry_lost", "Is telemetry lost?", "items a second that the SDKs dropped, by signal and reason", "rate",
            Part("ragwatch.sdk.lost"), by=("signal", "reason"), absent="no SDK has reported; 0 says that nothing was lost"),
        Kpi("sdk_overhead", "What does the SDK cost the app?", "CPU seconds a second of its worker, by part, summed over processes", "rate",
            Part("ragwatch.sdk.overhead"), by=("part",), absent="no SDK has reported"),
        Kpi("agent_received", "How much comes in?", "spans, points and records a second, by signal and transport", "rate",
            Part("ragwatch.agent.received"), by=("signal", "transport"), absent=_NO_AGENT),
        Kpi("agent_refused", "Does the agent turn requests away?", "requests a second that were refused, by transport and reason", "rate",
            Part("ragwatch.agent.refused"), by=("transport", "reason"), absent=_NO_AGENT),
        Kpi("agent_behind", "Does the agent keep up?", "age of the oldest request that is not processed", "now", Part("ragwatch.agent.inbox.oldest"), absent=_NO_AGENT),
        Kpi("agent_lag", "How much waits?", "requests that a reader of the inbox has still to take, by reader", "now",
            Part("ragwatch.agent.lag"), by=("consumer",), absent=_NO_AGENT + "; of `forward`: it has no upstream"),
        Kpi("agent_inbox", "How large is the inbox?", "bytes on disk", "now", Part("ragwatch.agent.inbox.bytes"), absent=_NO_AGENT),
        Kpi("agent_forwarded", "Does it get on?", "requests a second that were sent upstream, by upstream and result", "rate",
            Part("ragwatch.agent.forwarded"), by=("upstream", "result"), absent="the agent has no upstream, or has sent nothing"),
        Kpi("agent_commits", "Is the disk quick?", "quantile 0.95 of ragwatch.agent.commit.duration, by store", "quantile",
            Part("ragwatch.agent.commit.duration"), by=("store",), absent="nothing was written in the window"),
        Kpi("agent_dead_letters", "What was set aside for good?", "requests a second, by reason", "rate", Part("ragwatch.agent.dead_letters"), by=("reason",), absent=_NO_AGENT),
        Kpi("agent_decode_errors", "What was no OTLP?", "requests a second that could not be read, by reason", "rate", Part("ragwatch.agent.decode_errors"), by=("reason",), absent=_NO_AGENT),
        Kpi("agent_unreadable", "Which attribute could not be read?", "packed values a second that are neither JSON nor Python, by attribute", "rate",
            Part("ragwatch.agent.unreadable"), by=("attribute",), absent=_NO_AGENT),
        Kpi("agent_duplicates", "What came twice?", "items a second that came twice and were counted once, by reason", "rate", Part("ragwatch.agent.duplicates"), by=("reason",), absent=_NO_AGENT),
        Kpi("agent_late", "What came too late?", "steps a second that came after their query was complete, by reason", "rate", Part("ragwatch.agent.late"), by=("reason",), absent=_NO_AGENT),
        Kpi("agent_incomplete", "Which queries had no root?", "queries a second whose root never came, by reason", "rate", Part("ragwatch.agent.incomplete"), by=("reason",), absent=_NO_AGENT),
        Kpi("label_overflow", "Did a label run over?", "values a second over a label's bound, by label", "rate", Part("ragwatch.agent.label_overflow"), by=("label",), absent=_NO_AGENT),
    ),
}  # fmt: skip
"""Every KPI, by what it is about."""

KPIS: Final[dict[str, Kpi]] = {kpi.name: kpi for kpis in GROUPS.values() for kpi in kpis}
"""Every KPI by its name."""


def kpi(name: str) -> Kpi:
    """The KPI of that name; ``CatalogueError`` where there is none.

    >>> kpi("error_rate").formula[:31]
    'error / (ok + degraded + error)'
    """
    try:
        return KPIS[name]
    except KeyError:
        raise CatalogueError(f"no KPI {name!r} in the catalogue") from None
