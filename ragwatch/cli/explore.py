"""``ragwatch explore``: ask a RAG app in the terminal, and see each answer's steps, documents and cost."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ragwatch.cli.target_options import HELP, add_target_options
from ragwatch.errors import RagwatchError

if TYPE_CHECKING:
    from ragwatch.explore.view import Line

EPILOG = """examples:
  ragwatch explore demo                                 ask about the Python that runs it
  ragwatch explore app:answer --set top_k=10
  ragwatch explore http://127.0.0.1:8000/ask --answer data.text --documents data.sources
  ragwatch explore app:answer "how do I reset my password?"      one question, and out
  ragwatch explore app:answer < questions.txt | jq .latency_s    one a line in, one JSON object a line out

A line has question, answer, documents, latency_s, trace_id, steps_s, error, …, and under "summary" the totals so far:
each line is a result, and the last one is the summary too (`… | tail -1 | jq .summary`).

At the prompt: /again, /no-cache, /set top_k=10, /docs 3, /relevant 1 3, /bad, /compare other:function, /export, /help.
Ctrl-C cancels the query, Ctrl-D leaves.

exit codes: 0 done, 1 a question failed (pipe or one question), 2 an argument is wrong"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "explore",
        help="ask a RAG app in the terminal, and see each answer whole",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", help=HELP)
    parser.add_argument("question", nargs="*", default=[], help="ask this, and leave")
    parser.add_argument("--golden", type=Path, default=Path("golden.jsonl"), help="where judgements go (golden.jsonl)")
    parser.add_argument("--timeout", default="60s", help="how long a URL may take (default 60s)")
    parser.add_argument("--no-history", action="store_true", help="keep no file of what was typed")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a question, as over a pipe; the last is the summary"
    )
    add_target_options(parser)


def run(args: argparse.Namespace) -> int:
    """Converse, or answer what comes over a pipe."""
    try:
        import prompt_toolkit
        import rich

        del prompt_toolkit, rich
    except ImportError as error:
        raise RagwatchError(f"explore needs its extra: pip install 'ragwatch[explore]' ({error})") from None
    is_prompt = sys.stdin.isatty() and not args.question and not args.json
    draws = is_prompt or (bool(args.question) and sys.stdout.isatty() and not args.json)
    own = sys.stdout
    with redirect_stdout(own if draws else sys.stderr):  # what the app prints would be no JSON
        return _run(args, own, is_prompt=is_prompt, draws=draws)


def _run(args: argparse.Namespace, own: TextIO, *, is_prompt: bool, draws: bool) -> int:
    from rich.console import Console

    from ragwatch.bench.units import positive
    from ragwatch.cli.target_options import assignment, in_words, open_target, options_of
    from ragwatch.cli.waterfall import draw, seconds
    from ragwatch.explore.asked import Asker
    from ragwatch.explore.pipe import answer_lines
    from ragwatch.explore.printer import Printer
    from ragwatch.explore.prompt import converse, history_file
    from ragwatch.explore.shell import Shell
    from ragwatch.explore.view import NO_TEXT, NO_TEXT_CAME, View, welcome
    from ragwatch.target.asking import keeps_text, switch_on

    timeout_s = positive(args.timeout, "--timeout")
    errors = Console(stderr=True)
    with errors.status(f"opening {args.target} …"):
        target = open_target(args.target, args, timeout_s=timeout_s)
        options = options_of(target, args)
        switch_on("ragwatch-explore", content="full")
    screen = Console(highlight=False, soft_wrap=True)

    def show(lines: Iterable[Line]) -> None:
        printer.flush()
        for line in lines:
            (screen if draws else errors).print(line.text, style=line.style or None, markup=False, soft_wrap=True)

    def written(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    printer = Printer(written)

    def out(line: str) -> None:
        if not draws:
            print(line, file=own, flush=True)

    def wrong(text: str) -> None:
        print(f"ragwatch explore: {text}", file=sys.stderr)

    with Asker() as asker:
        shell = Shell(
            target,
            asker,
            View(draw, seconds, screen.width, NO_TEXT_CAME if keeps_text() else NO_TEXT),
            options=options,
            golden=args.golden,
            show=show,
            stream=printer.write if draws else lambda _: None,
            draws=draws,
            open_other=lambda name: open_target(name, args, timeout_s=timeout_s),
            assign=assignment,
        )
        try:
            if is_prompt:
                show(welcome(args.target))
                return converse(shell, show, history=None if args.no_history else history_file())
            lines = [" ".join(args.question)] if args.question else sys.stdin
            return answer_lines(shell, lines, out=out, wrong=wrong, words=in_words)
        finally:
            shell.close()
            target.close()
