"""The dashboards of how it runs: resilience, ingestion, ragwatch itself."""

from __future__ import annotations

from ragwatch.monitoring.boards_quality import AVAILABILITY, INGESTION, ITSELF, LATENCY, OVERVIEW, QUALITY, RESILIENCE
from ragwatch.monitoring.panels import Board, Panel, Target, levels
from ragwatch.monitoring.promql import nonzero, quantile, rate, series, share, total


def _breaker(result: str = "") -> str:
    labels = {"result": result} if result else {}
    return total(rate(series("rag.breaker.calls", scoped=True, **labels)), "breaker")


def _state(state: str = "") -> str:
    labels = {"state": state} if state else {}
    return total(series("rag.breaker.state", scoped=True, **labels), "breaker")


def _retry(name: str) -> str:
    return total(rate(series(name, scoped=True)), "operation")


RESILIENCE_BOARD = Board(
    RESILIENCE,
    "RAG: resilience",
    "What is down, what turns calls away, and do retries make it worse?",
    (
        ("Breakers", (
            Panel("Which breaker is open?", "The state that most needs a look, by breaker: 0 closed, 1 half open, 2 open. "
                  "Open: the dependency behind it is down; fix that, the breaker closes by itself.",
                  (Target(f"(2 * (({_state('=~open|forced_open')}) > bool 0) > 0) or (({_state('half_open')}) > bool 0 > 0) "
                          f"or 0 * ({_state()})", "{{breaker}}"),), "short", "state", 24, 7, ((None, "green"), (1, "orange"), (2, "red")), 0),
            Panel("Whom does a breaker turn away?", "Share of calls that were rejected at once, by breaker. What stays "
                  "rejected when the dependency is well again: look at the breaker's wait and its probes.",
                  (Target(share(_breaker("rejected"), _breaker()), "{{breaker}}"),), "percentunit", width=12, low=0,
                  high=1),
            Panel("How long was it open?", "Seconds open a second, summed over processes: 1 is one of them open all the "
                  "time. Short and often: the dependency flaps, or the threshold is too low.",
                  (Target(total(rate(series("rag.breaker.open_time", scoped=True)), "breaker"), "{{breaker}}"),),
                  "short", width=12, low=0),
        )),
        ("Retries and limits", (
            Panel("Do retries pile up?", "Attempts a call, by operation. Above 1.1 for long: a retry storm; the budget "
                  "should hold it, look at what fails. Below 1: calls that a breaker turned away before an attempt.",
                  (Target(share(_retry("rag.retry.attempts"), _retry("rag.retry.calls")), "{{operation}}"),), "short",
                  low=0, levels=levels(1.1, 1.5)),
            Panel("What do retries cost?", "Seconds a second in attempts that failed and in waits. Much of it: fewer "
                  "attempts or a shorter timeout, since people wait for it; see Latency.",
                  (Target(_retry("rag.retry.wasted"), "{{operation}}"),), "s", low=0, link=LATENCY),
            Panel("How do calls under a retry end?", "budget: no token was left; exhausted: all attempts failed; not_retryable: "
                  "the first failure was final, a breaker's no among them. Mend what fails, not the retry.",
                  (Target(total(rate(series("rag.retry.calls", scoped=True)), "result"), "{{result}}"),), "cps",
                  stacked=True, low=0),
            Panel("Which limit turns calls away?", "By limit and reason: full is too many at once, rate too many a second. For "
                  "long: more replicas or a higher limit; in bursts: that is its work.",
                  (Target(total(rate(series("rag.limit.rejected", scoped=True)), "limit", "reason"),
                          "{{limit}}: {{reason}}"),), "cps", low=0),
            Panel("How much is let through at once?", "The bound now: an adaptive limit that shrinks sees the "
                  "dependency slow down.",
                  (Target(total(series("rag.limit.concurrency", scoped=True), "limit"), "{{limit}}"),), "short", low=0),
            Panel("Is it up all the same?", "Share of queries that were answered, by a fallback too. Below target while a "
                  "breaker is open: what it guards has no fallback.",
                  (Target(AVAILABILITY, "availability"),), "percentunit", low=0, high=1, link=OVERVIEW),
        )),
    ),
)  # fmt: skip

_DOCUMENTS = total(rate(series("rag.ingest.documents", scoped=True)), "pipeline", "outcome")
INGESTION_BOARD = Board(
    INGESTION,
    "RAG: ingestion",
    "Do documents get in, and how stale is the index?",
    (
        ("Documents", (
            Panel("How many get in?", "By outcome. deferred: a breaker was open, nothing is lost. dead: see the dead "
                  "letters (`ragwatch ingest status`; `retry` brings them back).", (Target(_DOCUMENTS, "{{pipeline}} {{outcome}}"),), "cps", width=12, stacked=True, low=0),
            Panel("How many wait?", "Documents that are known and not done. It grows: more workers, or see what fails.",
                  (Target(total(series("rag.ingest.backlog", scoped=True), "pipeline"), "{{pipeline}}"),), "short",
                  width=12, low=0),
            Panel("How stale is the index?", "Age of the document that waits longest. It climbs while others get in: one "
                  "that fails each time; when nothing gets in: the pipeline stands still.",
                  (Target(f"max by (pipeline) ({series('rag.ingest.oldest', scoped=True)})", "{{pipeline}}"),), "s",
                  width=12, low=0, link=QUALITY),
            Panel("How long does a document take?", "95 of 100 attempts are faster. Slow and ok: embedding or the store; slow and failed: "
                  "a timeout, see Resilience.",
                  (Target(quantile(0.95, "rag.ingest.duration", "pipeline", "outcome"), "{{pipeline}} {{outcome}}"),),
                  "s", width=12, low=0, link=RESILIENCE),
        )),
    ),
)  # fmt: skip


def _agent(name: str, *by: str) -> str:
    return total(rate(series(name)), *by)


ITSELF_BOARD = Board(
    ITSELF,
    "ragwatch itself",
    "Does telemetry arrive, is any lost, does the agent keep up?",
    (
        ("Loss", (
            Panel("Is telemetry lost?", "What the SDKs had to drop, by signal and reason. queue_full: raise "
                  "OTEL_BSP_MAX_QUEUE_SIZE; send_queue_full: the receiver is down or slow.",
                  (Target(nonzero(total(rate(series("ragwatch.sdk.lost", scoped=True)), "signal", "reason"), "signal"),
                          "{{signal}} {{reason}}"),), "cps", width=12, low=0),
            Panel("Does the agent turn requests away?", "By reason. inbox_full: the pipeline or the disk does not keep "
                  "up; senders wait, nothing is lost.",
                  (Target(nonzero(_agent("ragwatch.agent.refused", "transport", "reason"), "transport"),
                          "{{transport}} {{reason}}"),),
                  "reqps", width=12, low=0),
            Panel("What could it not read, and what came twice?", "Set aside for good, unreadable, late, twice, without "
                  "a root. Twice is only a sender that tries again. unreadable, dead letter: a sender that "
                  "sends no OTLP, see the agent's log.",
                  (Target(_agent("ragwatch.agent.dead_letters", "reason"), "dead letter: {{reason}}"),
                   Target(_agent("ragwatch.agent.decode_errors", "reason"), "unreadable: {{reason}}"),
                   Target(_agent("ragwatch.agent.unreadable", "attribute"), "unreadable: {{attribute}}"),
                   Target(_agent("ragwatch.agent.late", "reason"), "late: {{reason}}"),
                   Target(_agent("ragwatch.agent.duplicates", "reason"), "twice: {{reason}}"),
                   Target(_agent("ragwatch.agent.incomplete", "reason"), "incomplete: {{reason}}")), "cps", width=12,
                  low=0),
            Panel("Did a label run over?", "Values over the bound are shown as `other`: something puts ids into a label.",
                  (Target(_agent("ragwatch.agent.label_overflow", "label"), "{{label}}"),), "cps", width=12, low=0),
        )),
        ("Work", (
            Panel("Does the agent keep up?", "Age of the oldest request that is not processed. Above a few seconds: give "
                  "it a core.", (Target(f"max({series('ragwatch.agent.inbox.oldest')})", "oldest"),), "s", low=0,
                  levels=levels(5, 60)),
            Panel("How much waits?", "Requests by consumer. forward climbs: the upstream is away; pipeline climbs: give it a core.",
                  (Target(total(series("ragwatch.agent.lag"), "consumer"), "{{consumer}}"),), "short", low=0),
            Panel("How large is the inbox?", "On disk; what everybody has read is deleted. At its bound senders are told to wait "
                  "(`agent.max_inbox_bytes`).",
                  (Target(total(series("ragwatch.agent.inbox.bytes")), "bytes"),), "bytes", low=0),
            Panel("How much comes in?", "Spans, points and records by signal and transport. None: no app sends here; ask "
                  "`ragwatch doctor` in one.",
                  (Target(_agent("ragwatch.agent.received", "signal", "transport"), "{{signal}} {{transport}}"),), "cps",
                  low=0, stacked=True),
            Panel("Does it get on?", "Requests sent upstream by result. retried: it is away, nothing is lost; refused: it does "
                  "not want them, see the agent's log. No data: the agent has no upstream.",
                  (Target(_agent("ragwatch.agent.forwarded", "upstream", "result"), "{{upstream}} {{result}}"),),
                  "reqps", low=0),
            Panel("Is the disk quick?", "95 of 100 commits are faster. Above 0.1 s: a slow or full disk; requests wait for it.",
                  (Target(quantile(0.95, "ragwatch.agent.commit.duration", "store", scoped=False), "{{store}}"),), "s",
                  low=0),
            Panel("What does the SDK cost the app?", "CPU seconds a second of its worker, by part, summed over processes. Much of "
                  "log: write less; of encode: smaller attributes.",
                  (Target(total(rate(series("ragwatch.sdk.overhead", scoped=True)), "part"), "{{part}}"),), "s", low=0,
                  stacked=True),
        )),
    ),
)  # fmt: skip
