"""Every metric of ragwatch, declared once; instruments, exposition, panels, rules and ``docs/metrics.md`` derive from it.

Names are OpenTelemetry names; ``prometheus_name`` is the one place that maps them. Series of ``rag.*``, ``gen_ai.*`` and
``ragwatch.sdk.*`` carry ``service`` and ``environment``, so that processes of several apps add up side by side. What a
label may hold is either a closed set or a bound: what is over the bound becomes ``other`` (``kpi.bounds``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ragwatch.errors import CatalogueError
from ragwatch.semconv import CACHE_RESULTS, ERROR_CLASSES, OUTCOMES, RETRIEVAL_RESULTS, STEPS

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a metric: a closed set of ``values``, or at most ``bound`` different ones."""

    name: str
    values: tuple[str, ...] = ()
    bound: int = 0
    meaning: str = ""

    @property
    def prometheus(self) -> str:
        """The label's name in Prometheus: dots become underscores."""
        return self.name.replace(".", "_")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: OTel name, instrument, UCUM unit, what it means, its labels, and the edges of its buckets.

    ``combine`` says how the gauges of several processes become one: their sum, or their maximum. ``absent`` says what
    it means when the series is not there.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[Label, ...]
    buckets: tuple[float, ...] = ()
    exemplars: bool = False
    combine: Literal["sum", "max"] = "sum"
    absent: str = "nothing of the kind has happened since the process started"

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' OTel names, in the order in which a series' key holds their values."""
        return tuple(label.name for label in self.labels)


DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
GEN_AI_DURATION_BUCKETS: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
GEN_AI_TOKEN_BUCKETS: Final = tuple(float(4**power) for power in range(14))
FIRST_CHUNK_BUCKETS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
DOCUMENT_BUCKETS: Final = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 50.0, 100.0)
SCORE_BUCKETS: Final = (
    0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0,
)  # fmt: skip
"""Those below 0.1 are for reciprocal rank fusion, whose best score is 1/61 for each list."""
AGE_BUCKETS: Final = (3600.0, 21600.0, 86400.0, 604800.0, 2592000.0, 7776000.0, 31536000.0)
COMMIT_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

SERVICE = Label("service", bound=50, meaning="service.name of the app")
ENVIRONMENT = Label("environment", bound=10, meaning="deployment.environment.name of the app")
STEP = Label("step", STEPS, meaning="which RAG step")
OUTCOME = Label("outcome", OUTCOMES, meaning="how it ended")
ERROR_CLASS = Label("error_class", ERROR_CLASSES, meaning="what kind of failure")
DATA_SOURCE = Label("data_source", bound=50, meaning="the index or collection that was asked")
CACHE = Label("cache", bound=200, meaning="the cache's name")
ANSWERED_BY = Label(
    "cache", ("hit", "miss", "none"), meaning="what the query cache had said; empty where the query is not kept"
)
SCORE_KIND = Label("kind", ("score", "distance"), meaning="score grows, distance shrinks with relevance")
MODEL = Label("model", bound=100, meaning="the requested model")
KNOWN = Label("known", ("true", "false"), meaning="whether the figure was given")
GEN_OPERATION = Label("gen_ai.operation.name", bound=100, meaning="OpenTelemetry's operation name")
GEN_PROVIDER = Label("gen_ai.provider.name", bound=100, meaning="who serves the model")
GEN_MODEL = Label("gen_ai.request.model", bound=100, meaning="the requested model")
GEN_TOKEN_TYPE = Label("gen_ai.token.type", ("input", "output"), meaning="which tokens")
ERROR_TYPE = Label("error.type", bound=100, meaning="the exception's or status' name; empty on success")
BREAKER = Label("breaker", bound=200, meaning="the breaker's name")
BREAKER_STATES: Final = ("closed", "open", "half_open", "forced_open", "disabled", "metrics_only")
RETRY_OPERATION = Label("operation", bound=100, meaning="the retry policy's name")
LIMIT = Label("limit", bound=100, meaning="the limit's name")
PIPELINE = Label("pipeline", bound=50, meaning="the ingestion pipeline's name")
INGEST_OUTCOME = Label("outcome", ("ok", "failed", "deferred", "dead", "unchanged"), meaning="what became of it")
SIGNAL = Label("signal", ("traces", "metrics", "logs"), meaning="the OTLP signal")
TRANSPORT = Label("transport", ("grpc", "http"), meaning="how it came")
REASON = Label("reason", bound=50, meaning="why")
LABEL_SOURCE = Label("source", ("label", "feedback", "probe", "judge"), meaning="who judged")
K = Label("k", bound=10, meaning="how many of the first documents were looked at")
CONSUMER = Label("consumer", ("pipeline", "forward"), meaning="which reader of the inbox")


def _app(*labels: Label) -> tuple[Label, ...]:
    return (SERVICE, ENVIRONMENT, *labels)


def _labelled(name: str, description: str) -> Metric:
    return Metric(name, "counter", "1", description, _app(LABEL_SOURCE, K), absent="no query came with a label")


_DECLARED: Final = (
    Metric(
        "rag.query.duration", "histogram", "s", "Time of a RAG query from start to end; its count is the number of queries.",
        _app(OUTCOME, Label("cache", ("hit", "miss", "none"), meaning="what the query cache said")),
        DURATION_BUCKETS, exemplars=True, absent="no query has ended, and no SDK has reported",
    ),
    Metric(
        "rag.query.errors", "counter", "{query}", "Failed queries by the deepest failing step; one a query.",
        _app(STEP, ERROR_CLASS), absent="no query has ended; 0 says that none has failed",
    ),
    Metric(
        "rag.query.critical_path", "counter", "s",
        "Time of queries by the step that they were waiting for; adds up to the queries' time.",
        _app(STEP, Label("band", ("under_1s", "1_to_5s", "over_5s"), meaning="how long the whole query took")),
    ),
    Metric("rag.step.duration", "histogram", "s", "Time of a step.", _app(STEP, OUTCOME), DURATION_BUCKETS, exemplars=True),
    Metric("rag.step.calls", "counter", "{call}", "Steps, also those that belong to no query.", _app(STEP, OUTCOME)),
    Metric("rag.step.retries", "counter", "{attempt}", "Attempts of a step beyond its first.", _app(STEP), absent="no step has ended; 0 says that each succeeded, or failed, at its first attempt"),
    Metric(
        "rag.cache.lookups", "counter", "{lookup}", "Cache lookups by result.",
        _app(CACHE, Label("result", CACHE_RESULTS, meaning="what came of the lookup")),
        absent="no cache was asked, or no step said whether it hit",
    ),
    Metric(
        "rag.retrieval.requests", "counter", "{request}", "Retrievals by result.",
        _app(DATA_SOURCE, Label("result", RETRIEVAL_RESULTS, meaning="what came of the retrieval")),
        absent="nothing was retrieved, or every answer came from a cache",
    ),
    Metric("rag.retrieval.documents", "histogram", "{document}", "Documents of a retrieval.", _app(DATA_SOURCE), DOCUMENT_BUCKETS),
    Metric(
        "rag.retrieval.score.top", "histogram", "1", "Best score (or distance) of a retrieval; a diagnostic, never accuracy.",
        _app(DATA_SOURCE, SCORE_KIND), SCORE_BUCKETS, absent="the retriever gives no scores",
    ),
    Metric(
        "rag.retrieval.score.mean", "histogram", "1", "Mean of the first ten scores of a retrieval.",
        _app(DATA_SOURCE, SCORE_KIND), SCORE_BUCKETS, absent="the retriever gives no scores",
    ),
    Metric(
        "rag.retrieval.score.spread", "histogram", "1", "First minus tenth (or last) score of a retrieval.",
        _app(DATA_SOURCE, SCORE_KIND), SCORE_BUCKETS, absent="the retriever gives no scores",
    ),
    Metric(
        "rag.retrieval.duplicates", "counter", "{document}", "Documents whose content stood in the same retrieval already.",
        _app(DATA_SOURCE),
    ),
    Metric(
        "rag.document.age", "histogram", "s", "Age of a document as it was served.", _app(DATA_SOURCE), AGE_BUCKETS,
        absent="documents carry no date",
    ),
    Metric(
        "rag.answers", "counter", "{answer}", "Answers by whether the generator saw any document.",
        _app(Label("grounding", ("with_context", "without_context"), meaning="did it see a document")),
    ),
    Metric(
        "rag.judgements", "counter", "{judgement}", "Judgements of retrievals and answers, counted when they arrive.",
        _app(
            Label("target", ("retrieval", "answer"), meaning="what was judged"), LABEL_SOURCE,
            Label("verdict", ("good", "bad"), meaning="the judgement"), ANSWERED_BY,
        ),
        absent="nobody has judged anything",
    ),
    _labelled("rag.labelled.queries", "Queries that came with the documents that answer them."),
    _labelled("rag.labelled.hits", "Labelled queries with a relevant document among the first k."),
    _labelled("rag.labelled.recall", "Sum of recall at k."),
    _labelled("rag.labelled.recall.squares", "Sum of squared recall at k, for its interval."),
    _labelled("rag.labelled.reciprocal_rank", "Sum of reciprocal ranks of the first relevant document."),
    _labelled("rag.labelled.reciprocal_rank.squares", "Sum of squared reciprocal ranks, for its interval."),
    Metric(
        "gen_ai.client.operation.duration", "histogram", "s", "Time of a model call.",
        _app(GEN_OPERATION, GEN_PROVIDER, GEN_MODEL, ERROR_TYPE), GEN_AI_DURATION_BUCKETS, exemplars=True,
    ),
    Metric(
        "gen_ai.client.token.usage", "histogram", "{token}", "Tokens of a model call.",
        _app(GEN_OPERATION, GEN_PROVIDER, GEN_MODEL, ERROR_TYPE, GEN_TOKEN_TYPE), GEN_AI_TOKEN_BUCKETS,
        absent="no model call said how many tokens it used",
    ),
    Metric(
        "gen_ai.client.operation.time_to_first_chunk", "histogram", "s", "Time to the first chunk of a streamed answer.",
        _app(GEN_OPERATION, GEN_PROVIDER, GEN_MODEL, ERROR_TYPE), FIRST_CHUNK_BUCKETS, absent="nothing was streamed",
    ),
    Metric("rag.usage.calls", "counter", "{call}", "Model calls by whether their tokens are known.", _app(MODEL, KNOWN)),
    Metric(
        "rag.cost", "counter", "usd", "Cost of model calls in US dollars; a series known=false, always 0, says that a model had calls of unknown cost.",
        _app(MODEL, KNOWN), absent="no model was called",
    ),
    Metric(
        "rag.breaker.state", "gauge", "{instance}", "Processes whose breaker is in this state.",
        _app(BREAKER, Label("state", BREAKER_STATES, meaning="the breaker's state")), absent="the app has no breaker",
    ),
    Metric(
        "rag.breaker.transitions", "counter", "{transition}", "Breaker transitions.",
        _app(BREAKER, Label("from", BREAKER_STATES, meaning="state before"), Label("to", BREAKER_STATES, meaning="state after")),
    ),
    Metric(
        "rag.breaker.calls", "counter", "{call}", "Calls at a breaker by result.",
        _app(BREAKER, Label("result", ("ok", "failure", "slow", "ignored", "rejected", "late"), meaning="what came of it")),
    ),
    Metric(
        "rag.breaker.shared", "gauge", "{instance}", "Processes whose breaker shares its state with the others; the rest of them decide alone.",
        _app(BREAKER), absent="no breaker of the app was given a store to share its state through",
    ),
    Metric("rag.breaker.open_time", "counter", "s", "Time that a breaker was open.", _app(BREAKER), absent="the app has no breaker"),
    Metric(
        "rag.retry.calls", "counter", "{call}", "Calls under a retry policy by result.",
        _app(RETRY_OPERATION, Label("result", ("ok", "exhausted", "not_retryable", "budget", "deadline"), meaning="how it ended")),
    ),
    Metric("rag.retry.attempts", "counter", "{attempt}", "Attempts of calls under a retry policy.", _app(RETRY_OPERATION), absent="no call was made under a retry policy"),
    Metric("rag.retry.wasted", "counter", "s", "Time in attempts that failed and in waits between attempts.", _app(RETRY_OPERATION)),
    Metric("rag.limit.rejected", "counter", "{call}", "Calls that a limit turned away.", _app(LIMIT, REASON), absent="the app has no limit"),
    Metric("rag.limit.concurrency", "gauge", "{call}", "Calls that a limit lets run at once.", _app(LIMIT), absent="the app has no limit"),
    Metric("rag.ingest.documents", "counter", "{document}", "Documents by what became of them.", _app(PIPELINE, INGEST_OUTCOME), absent="no ingestion has run"),
    Metric("rag.ingest.duration", "histogram", "s", "Time that a document took.", _app(PIPELINE, INGEST_OUTCOME), DURATION_BUCKETS),
    Metric("rag.ingest.backlog", "gauge", "{document}", "Documents that wait.", _app(PIPELINE), absent="no ingestion has run"),
    Metric("rag.ingest.oldest", "gauge", "s", "Age of the document that waits longest.", _app(PIPELINE), combine="max", absent="no ingestion has run"),
    Metric(
        "rag.app.info", "gauge", "", "What the app runs: a change of a label is a deployment.",
        _app(*(Label(name, bound=50, meaning=meaning) for name, meaning in (
            ("version", "service.version of the app"), ("config_hash", "a hash of its configuration"),
            ("index_version", "the index that it asks"), ("embedding_model", "the model that embeds questions"),
            ("prompt_version", "the prompt that it answers with")))),
        combine="max", absent="no SDK has reported; a label that is empty: the app did not say it",
    ),
    Metric("ragwatch.sdk.lost", "counter", "{item}", "Telemetry that the SDK dropped.", _app(SIGNAL, REASON), absent="no SDK has reported; 0 says that nothing was lost"),
    Metric(
        "ragwatch.sdk.export.interval", "gauge", "s", "How often a process reports; gauges of one that misses three reports are gone.",
        _app(), combine="max", absent="no SDK has reported",
    ),
    Metric(
        "ragwatch.sdk.overhead", "counter", "s", "CPU time of the SDK's worker by part.",
        _app(Label("part", ("encode", "send", "kpi", "log"), meaning="which part of the work")),
    ),
    Metric("ragwatch.agent.received", "counter", "{item}", "Spans, points and records taken from the inbox.", (SIGNAL, TRANSPORT)),
    Metric("ragwatch.agent.refused", "counter", "{request}", "Requests that were turned away.", (TRANSPORT, REASON)),
    Metric("ragwatch.agent.inbox.rows", "gauge", "{row}", "Requests in the inbox.", (), absent="no agent is scraped"),
    Metric("ragwatch.agent.inbox.bytes", "gauge", "By", "Size of the inbox on disk.", (), absent="no agent is scraped"),
    Metric("ragwatch.agent.inbox.oldest", "gauge", "s", "Age of the oldest request that is not yet processed.", (), combine="max", absent="no agent is scraped"),
    Metric("ragwatch.agent.lag", "gauge", "{row}", "Requests that a reader of the inbox has still to take.", (CONSUMER,), absent="no agent is scraped; of `forward`: it has no upstream"),
    Metric("ragwatch.agent.commit.duration", "histogram", "s", "Time of a commit of the inbox or the pipeline.", (
        Label("store", ("inbox", "pipeline"), meaning="which file"),), COMMIT_BUCKETS),
    Metric("ragwatch.agent.forwarded", "counter", "{request}", "Requests sent upstream by result.", (
        Label("upstream", bound=10, meaning="host and port"), Label("result", bound=20, meaning="what came of it")), absent="the agent has no upstream, or has sent nothing"),
    Metric("ragwatch.agent.dead_letters", "counter", "{request}", "Requests set aside for good.", (REASON,)),
    Metric("ragwatch.agent.decode_errors", "counter", "{request}", "Requests that could not be read.", (REASON,)),
    Metric("ragwatch.agent.unreadable", "counter", "{value}", "Packed attributes that are neither JSON nor Python: that field is unknown.", (
        Label("attribute", bound=50, meaning="which attribute"),), absent="no agent is scraped; 0 says that every packed attribute could be read"),
    Metric("ragwatch.agent.incomplete", "counter", "{query}", "Queries whose root never came.", (REASON,)),
    Metric("ragwatch.agent.duplicates", "counter", "{item}", "What came twice and was counted once.", (REASON,)),
    Metric("ragwatch.agent.late", "counter", "{span}", "Steps that came after their query was complete.", (REASON,)),
    Metric("ragwatch.agent.label_overflow", "counter", "{value}", "Label values over the bound, shown as other.", (
        Label("label", bound=50, meaning="which label"),), absent="no agent is scraped; 0 says that no label ran over"),
    Metric("ragwatch.build.info", "gauge", "", "Which ragwatch runs.", (
        Label("version", bound=10, meaning="ragwatch's version"), Label("python", bound=10, meaning="Python's version"),
        Label("agent", bound=10, meaning="which agent, where it has an upstream: the same by whichever way it comes")), combine="max",
        absent="no agent is scraped: every other absence says nothing then"),
)  # fmt: skip

METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _DECLARED}
"""Every metric by its OTel name."""


def metric(name: str) -> Metric:
    """The metric of that OTel name; ``CatalogueError`` where there is none."""
    try:
        return METRICS[name]
    except KeyError:
        raise CatalogueError(f"no metric {name!r} in the catalogue") from None


_UNIT_WORDS: Final = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "min": "minutes", "h": "hours",
    "d": "days", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "%": "percent", "m": "meters",
}  # fmt: skip


def prometheus_name(name: str, kind: Kind, unit: str) -> str:
    """The Prometheus name of an OTel metric (OpenTelemetry's compatibility specification, UnderscoreEscapingWithSuffixes).

    The suffixes ``_bucket``, ``_sum`` and ``_count`` of a histogram's series are the exposition's.

    >>> prometheus_name("rag.query.duration", "histogram", "s")
    'rag_query_duration_seconds'
    >>> prometheus_name("foo.bar", "counter", "By")
    'foo_bar_bytes_total'
    >>> prometheus_name("gen_ai.client.token.usage", "histogram", "{token}")
    'gen_ai_client_token_usage'
    >>> prometheus_name("free.share", "gauge", "1")
    'free_share_ratio'
    >>> prometheus_name("disk.read", "counter", "By/s")
    'disk_read_bytes_per_second_total'
    """
    stem = _collapse(name)
    words = _unit_words(unit, kind)
    if words and not stem.endswith("_" + words):
        stem += "_" + words
    if kind == "counter" and not stem.endswith("_total"):
        stem += "_total"
    return "_" + stem if stem[:1].isdigit() else stem


def _unit_words(unit: str, kind: Kind) -> str:
    if unit == "1":
        return "ratio" if kind == "gauge" else ""
    top, _, below = unit.partition("/")
    word = "" if top.startswith("{") else _UNIT_WORDS.get(top, _collapse(top))
    if not below or below.startswith("{"):
        return word
    return f"{word}_per_{_UNIT_WORDS.get(below, _collapse(below)).removesuffix('s')}".strip("_")


def _collapse(name: str) -> str:
    """Characters that Prometheus does not take become one underscore, runs of them collapse."""
    out: list[str] = []
    for char in name:
        good = char if (char.isascii() and char.isalnum()) or char == ":" else "_"
        if good != "_" or not out or out[-1] != "_":
            out.append(good)
    return "".join(out).strip("_")
