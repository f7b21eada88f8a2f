"""The dashboards of how it runs: resilience, ingestion, ragwatch itself."""

from __future__ import annotations

from ragwatch.monitoring.boards_quality import AVAILABILITY, INGESTION, ITSELF, RESILIENCE
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
            Panel("Whom does a breaker turn away?", "Share of calls that were rejected at once, by breaker.",
                  (Target(share(_breaker("rejected"), _breaker()), "{{breaker}}"),), "percentunit", width=12, low=0,
                  high=1),
            Panel("How long was it open?", "Seconds open a second, by breaker and process: 1 is open all the time.",
                  (Target(total(rate(series("rag.breaker.open_time", scoped=True)), "breaker"), "{{breaker}}"),),
                  "short", width=12, low=0),
        )),
        ("Retries and limits", (
            Panel("Do retries pile up?", "Attempts a call, by operation. Above 1.1 for long: a retry storm; the budget "
                  "should hold it, look at what fails.",
                  (Target(share(_retry("rag.retry.attempts"), _retry("rag.retry.calls")), "{{operation}}"),), "short",
                  low=0, levels=levels(1.1, 1.5)),
            Panel("What do retries cost?", "Seconds a second in attempts that failed and in waits.",
                  (Target(_retry("rag.retry.wasted"), "{{operation}}"),), "s", low=0),
            Panel("How do calls under a retry end?", "budget: no token was left; exhausted: all attempts failed.",
                  (Target(total(rate(series("rag.retry.calls", scoped=True)), "result"), "{{result}}"),), "cps",
                  stacked=True, low=0),
            Panel("Which limit turns calls away?", "By limit and reason: full is too many at once, rate too many a second.",
                  (Target(total(rate(series("rag.limit.rejected", scoped=True)), "limit", "reason"),
                          "{{limit}}: {{reason}}"),), "cps", low=0),
            Panel("How much is let through at once?", "The bound now: an adaptive limit that shrinks sees the "
                  "dependency slow down.",
                  (Target(total(series("rag.limit.concurrency", scoped=True), "limit"), "{{limit}}"),), "short", low=0),
            Panel("Is it up all the same?", "Share of queries that were answered.",
                  (Target(AVAILABILITY, "availability"),), "percentunit", low=0, high=1),
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
                  "letters.", (Target(_DOCUMENTS, "{{pipeline}} {{outcome}}"),), "cps", width=12, stacked=True, low=0),
            Panel("How many wait?", "Documents that are known and not done.",
                  (Target(total(series("rag.ingest.backlog", scoped=True), "pipeline"), "{{pipeline}}"),), "short",
                  width=12, low=0),
            Panel("How stale is the index?", "Age of the document that waits longest.",
                  (Target(f"max by (pipeline) ({series('rag.ingest.oldest', scoped=True)})", "{{pipeline}}"),), "s",
                  width=12, low=0),
            Panel("How long does a document take?", "95 of 100 attempts are faster.",
                  (Target(quantile(0.95, "rag.ingest.duration", "pipeline", "outcome"), "{{pipeline}} {{outcome}}"),),
                  "s", width=12, low=0),
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
                  "a root.",
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
            Panel("How much waits?", "Requests by consumer.",
                  (Target(total(series("ragwatch.agent.lag"), "consumer"), "{{consumer}}"),), "short", low=0),
            Panel("How large is the inbox?", "On disk; what everybody has read is deleted.",
                  (Target(total(series("ragwatch.agent.inbox.bytes")), "bytes"),), "bytes", low=0),
            Panel("How much comes in?", "Spans, points and records by signal and transport.",
                  (Target(_agent("ragwatch.agent.received", "signal", "transport"), "{{signal}} {{transport}}"),), "cps",
                  low=0, stacked=True),
            Panel("Does it get on?", "Requests sent upstream by result.",
                  (Target(_agent("ragwatch.agent.forwarded", "upstream", "result"), "{{upstream}} {{result}}"),),
                  "reqps", low=0),
            Panel("Is the disk quick?", "95 of 100 commits are faster.",
                  (Target(quantile(0.95, "ragwatch.agent.commit.duration", "store", scoped=False), "{{store}}"),), "s",
                  low=0),
            Panel("What does the SDK cost the app?", "CPU seconds a second of its worker, by part.",
                  (Target(total(rate(series("ragwatch.sdk.overhead", scoped=True)), "part"), "{{part}}"),), "s", low=0,
                  stacked=True),
        )),
    ),
)  # fmt: skip
