"""One run of the demo: an app, an agent, traffic, and what came of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import ragwatch
from ragwatch import __version__
from ragwatch.demo.app import EMBEDDER, WatchedRag
from ragwatch.demo.chapters import Chapters
from ragwatch.demo.faults import INDEX_INCOMPLETE, Faults, acts
from ragwatch.demo.golden import Golden
from ragwatch.demo.index import Index
from ragwatch.demo.people import People, cites
from ragwatch.demo.probe import Probe
from ragwatch.demo.repair import Repair
from ragwatch.demo.sidecar import Sidecar
from ragwatch.demo.traffic import Asked, Done, paced, run, zipf_questions
from ragwatch.kpi.metrics import RAGMetrics
from ragwatch.sdk.setup import engine_state

K = 5
MAX_SHOWN_ERRORS = 3
SETTLE_TIMEOUT_S = 20.0
CALM = "all is well"
SLOW_S = 3.0  # of the model in a drill: longer than any answer on a machine that is busy
CACHED_ANSWERS = 64  # some of the 220 questions: a cache that holds them all would hide every fault after a while


@dataclass(slots=True)
class Progress:
    """What the app itself has seen, for the screen and to hold the agent's figures against."""

    asked: int = 0
    failed: int = 0
    rejected: int = 0
    cache_hits: int = 0
    act: str = CALM
    errors: list[str] = field(default_factory=list)
    last: str = ""


class Session:
    """Asks ``queries`` questions, ``concurrency`` at a time; with ``faults`` the last four fifths are acts.

    With ``act_s`` an act lasts that many seconds, and the questions are spread evenly over all five; those that the
    app is too slow for are not asked.
    """

    def __init__(
        self,
        index: Index,
        golden: list[Golden],
        *,
        queries: int,
        concurrency: int,
        faults: bool,
        seed: int,
        act_s: float | None = None,
    ) -> None:
        self.faults = Faults() if act_s is None else Faults(slow_s=SLOW_S)
        self.progress = Progress()
        self._golden = {item.question: item.relevant for item in golden}
        self._queries = queries
        self._concurrency = concurrency
        self._acts = list(acts()) if faults else []
        self._seed = seed
        self._act_s = act_s
        self.act_began: Callable[[str], None] = lambda _name: None
        self._began = monotonic()
        self._app = WatchedRag(index, top_k=K, cache_size=CACHED_ANSWERS, faults=self.faults)
        self.people = People()
        self._index_version = version_of(index)
        self._repair = Repair(index, self.faults) if faults else None
        self._probe = Probe(index, self._app.retrieve, seed=seed) if faults else None
        self.chapters = Chapters(engine_state, CALM)

    def ask(self, question: str) -> str:
        """Ask the app, and say which documents are known to answer; somebody reads the answer."""
        relevant = self._golden.get(question, frozenset())
        with ragwatch.query(question) as query:
            query.relevant(sorted(relevant), k=K)
            trace_id = ragwatch.trace_id()
            answer = self._app.answer(question)
        self.people.read(trace_id, cites(answer, relevant))
        return answer

    def run(self, changed: Callable[[], None], stop: threading.Event) -> Done:
        """Ask everything; ``changed`` is called after each answer."""

        def seen(asked: Asked) -> None:
            progress = self.progress
            progress.asked += 1
            turned_away = isinstance(asked.error, ragwatch.Rejected)
            progress.rejected += turned_away
            progress.failed += asked.error is not None and not turned_away
            if asked.error is not None:
                progress.errors = [*progress.errors, f"{type(asked.error).__name__}: {asked.error}"][-MAX_SHOWN_ERRORS:]
            else:
                progress.last = f"{asked.question} → {str(asked.answer)[:160]}"
                self.chapters.judge(str(asked.answer), self._golden.get(asked.question, ()))
            progress.cache_hits = self._app.cache_hits
            self.people.speak()
            self._play()
            changed()

        self._began = monotonic()
        self.act_began(CALM)
        questions: Iterator[str] = zipf_questions(sorted(self._golden), self._queries, seed=self._seed)
        if self._act_s is not None:
            questions = paced(questions, self._queries, self._act_s * (1 + len(self._acts)), stop)
        if self._probe is not None:
            self._probe.start()
        done = run(questions, self.ask, concurrency=self._concurrency, progress=seen, stop=stop)
        if self._probe is not None:
            self._probe.stop()
        if self._repair is not None:
            self._change_index(self.progress.act, "")
            self._repair.finish()
        self.faults.stop()
        return done

    def _play(self) -> None:
        """Switch to the act whose turn it is: the first fifth of the questions, or of the time, is calm."""
        if not self._acts:
            return
        if self._act_s is None:
            place = self.progress.asked * 5 // max(1, self._queries) - 1
        else:
            place = int((monotonic() - self._began) / self._act_s) - 1
        wanted = self._acts[min(3, place)][0] if place >= 0 else CALM
        before = self.progress.act
        if before != wanted:
            self.faults.stop(*(name for name, _ in self._acts if name != INDEX_INCOMPLETE))
            self.faults.start(wanted)
            self._change_index(before, wanted)
            self.chapters.begin(wanted)
            self.progress.act = wanted
            self.act_began(wanted)

    def _change_index(self, before: str, now: str) -> None:
        """A damaged index is deployed with its act; after it, its documents are read in again."""
        if now == INDEX_INCOMPLETE:
            ragwatch.app_info(index_version=f"{self._index_version}-incomplete")
        elif before == INDEX_INCOMPLETE and self._repair is not None:
            self._repair.start()
            ragwatch.app_info(index_version=f"{self._index_version}-repaired")


def version_of(index: Index) -> str:
    """The version of an index: the first digits of what it was made from."""
    return index.folder.name.rpartition("-")[2][:8]


def switch_on(endpoint: str, directory: Path, index_version: str) -> None:
    """Switch ragwatch on for the demo, whose texts are public; what the environment says goes before."""
    defaults: Mapping[str, str] = {
        "RAGWATCH_CONTENT": "full",
        "RAGWATCH_LOG_FILE": str(directory / "queries.jsonl"),
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    runs = {"version": __version__, "index_version": index_version, "embedding_model": EMBEDDER, "prompt_version": "1"}
    ragwatch.init(service="python-docs", environment="demo", app_info=runs)


def settle(sidecar: Sidecar, sent: int) -> bool:
    """Wait until the agent shows everything that was sent; False when it did not within its time."""
    until = monotonic() + SETTLE_TIMEOUT_S
    expected = ragwatch.metrics().query_count
    while monotonic() < until:
        received = sidecar.metric("ragwatch_agent_received_total", signal="traces")
        if received >= sent and sidecar.metric("rag_query_duration_seconds_count") >= expected:
            return True
        sleep(0.05)
    return False


def heard(sidecar: Sidecar, judged: int) -> bool:
    """Wait until the agent shows every answer that was judged; False when it did not within its time."""
    until = monotonic() + SETTLE_TIMEOUT_S
    while monotonic() < until:
        if sidecar.metric("rag_judgements_total", target="answer") >= judged:
            return True
        sleep(0.05)
    return False


def summary(
    metrics: RAGMetrics, telemetry: Mapping[str, Any], documents: int, sidecar: Sidecar | None
) -> dict[str, Any]:
    """The figures of a run as one JSON object; ``spans_received`` is None where there is no agent to ask."""
    recall, mrr = metrics.recall_at_k.get(str(K)), metrics.mrr.get(str(K))
    lookups = metrics.n["cache_hit_rate"]
    lost = sum(count for key, count in telemetry["lost"].items() if key.startswith("traces/"))
    return {
        "queries": metrics.query_count,
        "errors": sum(metrics.errors.values()),
        "cache_hits": round((metrics.cache_hit_rate or 0.0) * lookups),
        "cache_lookups": lookups,
        "recall_at_5": recall._asdict() if recall else None,
        "mrr": mrr.value if mrr else None,
        "latency_s": {"p50": metrics.p50, "p95": metrics.p95, "p99": metrics.p99},
        "documents": documents,
        "spans_sent": telemetry["sent"].get("traces", 0),
        "spans_received": int(sidecar.metric("ragwatch_agent_received_total", signal="traces")) if sidecar else None,
        "spans_lost": lost,
        "metrics_url": f"{sidecar.web_url}/metrics" if sidecar else None,
    }


def disagreements(
    figures: Mapping[str, Any], progress: Progress, sidecar: Sidecar | None, judged: int = 0
) -> list[str]:
    """Where the app's own count, the SDK's and the agent's are not the same."""
    found = []
    for what, did in (("queries", progress.asked), ("errors", progress.failed), ("cache_hits", progress.cache_hits)):
        if figures[what] != did:
            found.append(f"{what}: the app had {did}, ragwatch counted {figures[what]}")
    if sidecar is None:
        return found
    for what, expected, name, labels in (
        ("queries", figures["queries"], "rag_query_duration_seconds_count", {}),
        ("errors", figures["errors"], "rag_query_errors_total", {}),
        ("rejected", progress.rejected, "rag_query_duration_seconds_count", {"outcome": "rejected"}),
        ("cache hits", figures["cache_hits"], "rag_cache_lookups_total", {"result": "hit"}),
        ("cache lookups", figures["cache_lookups"], "rag_cache_lookups_total", {}),
        ("judged answers", judged, "rag_judgements_total", {"target": "answer"}),
    ):
        shown = sidecar.metric(name, **labels)
        if shown != expected:
            found.append(f"{what}: {expected} were counted, the agent's {name} shows {shown:g}")
    if figures["spans_sent"] != figures["spans_received"]:
        found.append(f"{figures['spans_sent']} spans were sent, the agent received {figures['spans_received']}")
    return found
