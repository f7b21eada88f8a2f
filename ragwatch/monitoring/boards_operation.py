"""The dashboards of how it runs: resilience, ingestion, ragwatch itself."""

from __future__ import annotations

from ragwatch.catalogue_kpis import kpi
from ragwatch.monitoring.boards_quality import INGESTION, ITSELF, LATENCY, OVERVIEW, QUALITY, RESILIENCE
from ragwatch.monitoring.kpis import ask
from ragwatch.monitoring.panels import Board, Panel, Target, levels
from ragwatch.monitoring.promql import begun, nonzero, series


def _breakers(state: str = "") -> str:
    """Processes with the breaker, in any state or in one."""
    by = ("service", "breaker")
    return ask("breaker_state", by, state=state) if state else ask("breaker_state", by)


def _of_service(name: str) -> str:
    """A KPI of each service that is chosen: two may have a breaker of the same name."""
    return ask(name, ("service", *kpi(name).by))


_INSTANCE = "=~$instance"


def _each(name: str) -> str:
    """A KPI of agents, of each agent that is chosen."""
    return ask(name, ("instance", *kpi(name).by), instance=_INSTANCE)


RESILIENCE_BOARD = Board(
    RESILIENCE,
    "RAG: resilience",
    "What is down, what turns calls away, and do retries make it worse?",
    (
        ("Breakers", (
            Panel("Which breaker is open?", "The state that most needs a look, by breaker: 0 closed, 1 half open, 2 open. "
                  "Open: the dependency behind it is down; fix that, the breaker closes by itself.",
                  (Target(f"(2 * (({_breakers('=~open|forced_open')}) > bool 0) > 0) or (({_breakers('half_open')}) > bool 0 > 0) "
                          f"or 0 * ({_breakers()})", "{{service}} {{breaker}}"),),
                  "short", "state", 24, 7, ((None, "green"), (1, "orange"), (2, "red")), 0,
                  names=((0, "closed"), (1, "half open"), (2, "open")), link=LATENCY),
            Panel("Whom does a breaker turn away?", "Share of calls that were rejected at once, by breaker. What stays "
                  "rejected when the dependency is well again: look at the breaker's wait and its probes.",
                  (Target(_of_service("breaker_rejected"), "{{service}} {{breaker}}"),), "percentunit", width=12, low=0, high=1, link=OVERVIEW),
            Panel("How long was it open?", "Seconds open a second, summed over processes: 1 is one of them open all the "
                  "time. Short and often: the dependency flaps, or the threshold is too low.",
                  (Target(_of_service("breaker_open_time"), "{{service}} {{breaker}}"),), "short", width=12, low=0, link=OVERVIEW),
            Panel("Does it flap, or does its probe fail?", "Changes of state a second, by breaker and new state. half_open and open in turn, never closed: probes "
                  "fail, what is behind it is still down. closed and open in turn: it flaps; raise the threshold or the wait. "
                  "forced_open, disabled: somebody's hand, ask who.",
                  (Target(nonzero(ask("breaker_transitions", ("service", "breaker", "to")), "to"), "{{service}} {{breaker}} to {{to}}"),), "cps", width=12, low=0),
            Panel("Do the processes decide together?", "Processes that share the breaker's state, of all that have it. 0 %: it has no store "
                  "(each process finds out alone, which is meant where nothing else was set up). A fall from 100 %: the store "
                  "is away; breakers go on alone, so bring Redis back when what is down is up.",
                  (Target(_of_service("breaker_shared"), "{{service}} {{breaker}}"),), "percentunit", width=12, low=0, high=1),
        )),
        ("Retries and limits", (
            Panel("Do retries pile up?", "Attempts a call, by operation. Above 1.1 for long: a retry storm; the budget "
                  "should hold it, look at what fails. Below 1: calls that a breaker turned away before an attempt.",
                  (Target(_of_service("retry_amplification"), "{{service}} {{operation}}"),), "short", width=6, low=0, levels=levels(1.1, 1.5), link=LATENCY),
            Panel("Which step tries again?", "Attempts a second beyond the first, by step. The step that grows is where to look: what it "
                  "calls fails and is asked again.",
                  (Target(nonzero(_of_service("step_retries"), "step"), "{{service}} {{step}}"),), "cps", width=6, low=0, link=LATENCY),
            Panel("What do retries cost?", "Seconds a second in attempts that failed and in waits. Much of it: fewer "
                  "attempts or a shorter timeout, since people wait for it; see Latency.",
                  (Target(_of_service("retry_wasted"), "{{service}} {{operation}}"),), "s", width=6, low=0, link=LATENCY),
            Panel("How do calls under a retry end?", "budget: no token was left; exhausted: all attempts failed; not_retryable: "
                  "the first failure was final, a breaker's no among them. Mend what fails, not the retry.",
                  (Target(_of_service("retry_results"), "{{service}} {{result}}"),), "cps", width=6, stacked=True, low=0, link=OVERVIEW),
            Panel("Which limit turns calls away?", "By limit and reason: full is too many at once, rate too many a second. For "
                  "long: more replicas or a higher limit; in bursts: that is its work.",
                  (Target(_of_service("limit_rejected"), "{{service}} {{limit}}: {{reason}}"),), "cps", low=0, link=LATENCY),
            Panel("How much is let through at once?", "The bound now: an adaptive limit that shrinks sees the "
                  "dependency slow down.",
                  (Target(_of_service("limit_concurrency"), "{{service}} {{limit}}"),), "short", low=0, link=LATENCY),
            Panel("Is it up all the same?", "Share of queries that were answered, a fallback's among them; that only a fallback "
                  "answered; that were turned away. Rejected while a breaker is open: what it guards has no fallback.",
                  (Target(_of_service("availability"), "{{service}} answered"), Target(_of_service("degraded_rate"), "{{service}} by a fallback"),
                   Target(_of_service("rejected_rate"), "{{service}} rejected")), "percentunit", low=0, high=1, link=OVERVIEW),
        )),
    ),
)  # fmt: skip

INGESTION_BOARD = Board(
    INGESTION,
    "RAG: ingestion",
    "Do documents get in, and how stale is the index?",
    (
        ("Documents", (
            Panel("How many get in?", "By outcome. deferred: a breaker was open, nothing is lost. dead: see the dead "
                  "letters (`ragwatch ingest status`; `retry` brings them back).",
                  (Target(ask("ingest_throughput"), "{{pipeline}} {{outcome}}"),), "cps", width=12, stacked=True, low=0, link=RESILIENCE),
            Panel("What share does not get in?", "Failed and dead of all that were tried. All of one pipeline: what it writes to, "
                  "see Resilience; some: those documents, `ragwatch ingest status` has each one's reason.",
                  (Target(ask("ingest_failed_rate"), "{{pipeline}}"),), "percentunit", width=12, low=0, high=1,
                  levels=levels(0.05, 0.5), link=RESILIENCE),
            Panel("How many wait?", "Documents that are known and not done. It grows: more workers, or see what fails.",
                  (Target(ask("ingest_backlog"), "{{pipeline}}"),), "short", low=0, link=RESILIENCE),
            Panel("How stale is the index?", "Age of the document that waits longest. It climbs while others get in: one "
                  "that fails each time; when nothing gets in: the pipeline stands still.",
                  (Target(ask("ingest_oldest"), "{{pipeline}}"),), "s", low=0, link=QUALITY),
            Panel("How long does a document take?", "95 of 100 attempts are faster. Slow and ok: embedding or the store; slow and failed: "
                  "a timeout, see Resilience.",
                  (Target(ask("ingest_latency"), "{{pipeline}} {{outcome}}"),), "s", low=0, link=RESILIENCE),
        )),
    ),
    holder="rag.ingest.backlog",
)  # fmt: skip


ITSELF_BOARD = Board(
    ITSELF,
    "ragwatch itself",
    "Does telemetry arrive, is any lost, does the agent keep up?",
    (
        ("Loss", (
            Panel("Is telemetry lost?", "What the SDKs had to drop, by signal and reason. queue_full: raise "
                  "OTEL_BSP_MAX_QUEUE_SIZE; send_queue_full: the receiver is down or slow.",
                  (Target(nonzero(ask("telemetry_lost", ("service", "signal", "reason"), instance=_INSTANCE), "signal"), "{{service}} {{signal}} {{reason}}"),), "cps", width=12, low=0),
            Panel("Does the agent turn requests away?", "By reason. inbox_full: the pipeline or the disk does not keep "
                  "up; senders wait, nothing is lost.",
                  (Target(nonzero(_each("agent_refused"), "transport"), "{{instance}} {{transport}} {{reason}}"),), "reqps", width=12, low=0),
            Panel("What could it not read, and what came twice?", "Set aside for good, unreadable, late, twice, without "
                  "a root. Twice is only a sender that tries again. unreadable, dead letter: a sender that "
                  "sends no OTLP, see the agent's log; an attribute: its instrumentor cuts values short (attribute length limit).",
                  (Target(_each("agent_dead_letters"), "{{instance}} dead letter: {{reason}}"),
                   Target(_each("agent_decode_errors"), "{{instance}} unreadable: {{reason}}"),
                   Target(nonzero(_each("agent_unreadable"), "attribute"), "{{instance}} unreadable attribute: {{attribute}}"),
                   Target(_each("agent_late"), "{{instance}} late: {{reason}}"),
                   Target(_each("agent_duplicates"), "{{instance}} twice: {{reason}}"),
                   Target(_each("agent_incomplete"), "{{instance}} incomplete: {{reason}}")), "cps", width=12, low=0),
            Panel("Did a label run over?", "Values over the bound are shown as `other`: something puts ids into a label.",
                  (Target(_each("label_overflow"), "{{instance}} {{label}}"),), "cps", width=12, low=0),
        )),
        ("Work", (
            Panel("Does the agent keep up?", "Age of the oldest request that is not processed. Above a few seconds: give "
                  "it a core.", (Target(_each("agent_behind"), "{{instance}}"),), "s", low=0, levels=levels(5, 60)),
            Panel("How much waits?", "Requests by consumer. forward climbs: the upstream is away; pipeline climbs: give it a core.",
                  (Target(_each("agent_lag"), "{{instance}} {{consumer}}"),), "short", low=0),
            Panel("How large is the inbox?", "On disk; what everybody has read is deleted. At its bound senders are told to wait "
                  "(`agent.max_inbox_bytes`).", (Target(_each("agent_inbox"), "{{instance}}"),), "bytes", low=0),
            Panel("How much comes in?", "Spans, points and records by signal and transport. None: no app sends here; ask "
                  "`ragwatch doctor` in one.",
                  (Target(_each("agent_received"), "{{instance}} {{signal}} {{transport}}"),), "cps", low=0, stacked=True, link=OVERVIEW),
            Panel("Does it get on?", "Requests sent upstream by result. retried: it is away, nothing is lost; refused: it does "
                  "not want them, see the agent's log. nothing: the agent has no upstream, or has sent nothing yet.",
                  (Target(begun(_each("agent_forwarded"), series("ragwatch.build.info"), "result"), "{{instance}} {{upstream}} {{result}}"),),
                  "reqps", low=0),
            Panel("Is the disk quick?", "95 of 100 commits are faster. Above 0.1 s: a slow or full disk; requests wait for it.",
                  (Target(_each("agent_commits"), "{{instance}} {{store}}"),), "s", low=0),
            Panel("What does the SDK cost the app?", "CPU seconds a second of its worker, by part, summed over processes. Much of "
                  "log: write less; of encode: smaller attributes.",
                  (Target(ask("sdk_overhead", ("service", "part"), instance=_INSTANCE), "{{service}} {{part}}"),), "s", low=0, stacked=True),
        )),
    ),
    holder="ragwatch.sdk.lost",
    more={"instance": ("ragwatch.build.info", "instance")},
)  # fmt: skip
