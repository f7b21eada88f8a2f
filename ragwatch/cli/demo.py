"""``ragwatch demo``: a real RAG app over the documentation of the Python that runs it, watched end to end."""

from __future__ import annotations

import argparse
import json
import re
import signal
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ragwatch.errors import ConfigError, RagwatchError

EPILOG = """examples:
  ragwatch demo                                     300 questions about the Python that runs it, and what ragwatch saw
  ragwatch demo --faults                            an outage in four acts, and what each did to the KPIs
  ragwatch demo --serve --web-port 9464             and then look: ragwatch queries --errors, http://127.0.0.1:9464
  ragwatch demo --docs docs/ --golden golden.jsonl  your own documents and questions
  ragwatch demo --endpoint http://127.0.0.1:4318    into an agent or a collector that runs already
  ragwatch demo --json | tail -1 | jq .             for programs

exit codes: 0 every count agrees, 1 one does not, 2 an argument or a file is wrong"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "demo",
        help="watch a real RAG app answer questions about Python, end to end",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--queries", type=int, default=300, help="how many questions are asked (default 300)")
    parser.add_argument("--concurrency", type=int, default=4, help="how many at a time (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="which questions repeat, and in which order")
    parser.add_argument("--faults", action="store_true", help="play an outage in four acts, so that the KPIs move")
    parser.add_argument("--act-seconds", type=float, help="let each act last that long, the questions spread over it")
    parser.add_argument("--docs", type=Path, help="answer from this folder: Markdown, text, HTML, JSON Lines")
    parser.add_argument("--golden", type=Path, help="questions with the ids that answer them (JSON Lines)")
    parser.add_argument("--serve", action="store_true", help="keep the agent running afterwards, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line, and no table")
    parser.add_argument("--picture", type=Path, help="write the table at the end as an SVG picture")
    parser.add_argument("--cache-dir", type=Path, help="where the index is kept (default ~/.cache/ragwatch/demo)")
    parser.add_argument("--endpoint", help="send to this OTLP/HTTP receiver and start no agent")
    parser.add_argument("--directory", type=Path, help="the agent's directory (default: a temporary one)")
    for port in ("grpc", "http", "web"):
        parser.add_argument(f"--{port}-port", type=int, default=0, help="the agent's port (default: a free one)")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when every count agrees, 1 when one does not."""
    for name in ("queries", "concurrency", "act_seconds"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(
                name, f"{getattr(args, name)} is less than 1", source=f"argument --{name.replace('_', '-')}"
            )
    try:
        from rich.console import Console

        from ragwatch.demo.errors import DemoInputError
    except ImportError as error:
        raise RagwatchError(f"the demo needs its extra: pip install 'ragwatch[demo]' ({error})") from None
    console = Console(stderr=args.json)
    try:
        return _run(args, console)
    except DemoInputError as error:
        raise RagwatchError(str(error)) from None


def _run(args: argparse.Namespace, console: Any) -> int:
    from rich.live import Live

    import ragwatch
    from ragwatch.demo import session as demo
    from ragwatch.demo.cache import default_cache_dir, open_index
    from ragwatch.demo.corpus import open_corpus
    from ragwatch.demo.golden import folder_golden, load_golden, packaged_golden
    from ragwatch.demo.screen import acts_table, screen
    from ragwatch.demo.sidecar import Sidecar

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with ExitStack() as stack:
        corpus = open_corpus(args.docs)
        with console.status("reading the documents (the first time they are indexed: up to half a minute) …"):
            index = stack.enter_context(open_index(corpus, args.cache_dir or default_cache_dir()))
        known = frozenset(index.ids)
        if args.golden:
            golden = load_golden(args.golden, known)
        elif args.docs:
            golden = folder_golden(args.docs, known) or []
        else:
            golden = packaged_golden(known)
        if not golden:
            raise ConfigError(
                "golden", f"{args.docs} has no labels; name a file of questions", source="argument --golden"
            )
        sidecar: Sidecar | None = None
        if args.endpoint is None:
            ports = [
                part
                for name in ("grpc", "http", "web")
                for part in (f"--{name}-port", str(getattr(args, f"{name}_port")))
            ]
            with console.status("starting the agent …"):
                sidecar = stack.enter_context(Sidecar(args.directory, options=tuple(ports)))
        folder = sidecar.directory if sidecar else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        demo.switch_on(sidecar.endpoint if sidecar else args.endpoint, folder, demo.version_of(index))
        played = demo.Session(
            index,
            golden,
            queries=args.queries,
            concurrency=args.concurrency,
            faults=args.faults,
            seed=args.seed,
            act_s=args.act_seconds,
        )
        where = _where(sidecar, folder)

        def shown() -> Any:
            return screen(ragwatch.metrics(), played.progress, queries=args.queries, where=where)

        if args.json:
            if args.faults:
                played.act_began = lambda name: console.print(f"act: {name}")
            _interruptible(played, stop)
        else:
            with Live(get_renderable=shown, console=console, refresh_per_second=4):
                _interruptible(played, stop)
            if not console.is_terminal:  # Live leaves the last line open there
                console.print()
        if args.faults:
            console.print(acts_table(played.chapters.all()))
        delivered = ragwatch.flush(10.0)
        settled = sidecar is None or demo.settle(sidecar, ragwatch.telemetry()["sent"].get("traces", 0))
        played.people.speak(all_of_them=True)
        delivered = ragwatch.flush(10.0) and delivered
        settled = (sidecar is None or demo.heard(sidecar, played.people.judged)) and settled
        figures = demo.summary(ragwatch.metrics(), ragwatch.telemetry(), len(known), sidecar)
        wrong = demo.disagreements(figures, played.progress, sidecar, played.people.judged)
        _tell(console, args, figures, wrong, delivered=delivered and settled, has_agent=sidecar is not None)
        if args.picture:
            _draw(args.picture, shown(), *([acts_table(played.chapters.all())] if args.faults else []))
        if args.serve and sidecar is not None:
            console.print(f"the agent keeps running: {sidecar.web_url} (Ctrl-C ends it)")
            _wait(stop)
        elif sidecar is not None and not args.json:
            console.print("the agent ended with the demo: --serve keeps it, its pages and the log")
        ragwatch.shutdown()
        return 1 if wrong else 0


def _where(sidecar: Any, folder: Path) -> list[tuple[str, str]]:
    if sidecar is None:
        return [("log", str(folder / "queries.jsonl"))]
    return [
        ("metrics", f"{sidecar.web_url}/metrics"),
        ("queries", f"{sidecar.web_url}/api/queries?outcome=error"),
        ("KPIs", f"{sidecar.web_url}/api/kpis"),
        ("log", str(folder / "queries.jsonl")),
    ]


def _interruptible(played: Any, stop: threading.Event) -> None:
    """Run the traffic on a thread, so that Ctrl-C ends it in good order."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            played.run(lambda: None, stop)
        except BaseException as error:  # noqa: BLE001  (raised again below)
            failure.append(error)

    thread = threading.Thread(target=work, name="demo-traffic")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        stop.set()
        thread.join()
    if failure:
        raise failure[0]


def _tell(
    console: Any,
    args: argparse.Namespace,
    figures: dict[str, Any],
    wrong: list[str],
    *,
    delivered: bool,
    has_agent: bool,
) -> None:
    if not delivered:
        console.print("[yellow]not everything could be delivered; the app answered all the same[/yellow]")
    for line in wrong:
        console.print(f"[red]the counts do not agree:[/red] {line}")
    if not wrong and has_agent and delivered:
        console.print(
            f"[green]the counts agree:[/green] {figures['queries']} queries, {figures['errors']} errors, "
            f"{figures['cache_hits']} cache hits in the app, in the SDK and in the agent's /metrics; "
            f"{figures['spans_sent']} spans sent, {figures['spans_received']} received, {figures['spans_lost']} lost"
        )
    if args.json:
        print(json.dumps(figures), flush=True)


def _draw(path: Path, *tables: Any) -> None:
    import io

    from rich.console import Console

    canvas = Console(record=True, width=118, file=io.StringIO(), force_terminal=True)
    for table in tables:
        canvas.print(table)
    drawn = canvas.export_svg(title="ragwatch demo")
    # the font is the reader's own: a picture must not call a font server
    path.write_text(re.sub(r"@font-face\s*\{.*?\}", "", drawn, flags=re.DOTALL), encoding="utf-8")


def _wait(stop: threading.Event) -> None:
    try:
        stop.wait()
    except KeyboardInterrupt:
        return
