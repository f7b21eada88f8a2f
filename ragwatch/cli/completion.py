"""``ragwatch completion``: verbs and options completed by your shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ragwatch.errors import ConfigError

SHELLS = ("bash", "zsh", "tcsh")
_DIRECTORIES = ("directory", "_dir", "docs")
_FILES = frozenset({"file", "paths", "from_file", "prices"})
"""Of arguments that are no ``Path`` themselves."""
EPILOG = """examples:
  eval "$(ragwatch completion bash)"                                     in ~/.bashrc
  ragwatch completion zsh > "${fpath[1]}/_ragwatch"                      once, then a new shell
  ragwatch completion tcsh > ~/.ragwatch.tcsh                            and `source ~/.ragwatch.tcsh` in ~/.tcshrc

exit codes: 0 printed, 2 shtab is not installed, or the shell is not one of these"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "completion",
        help="a script that completes verbs and options in your shell",
        description="Print a script that completes verbs and options in your shell.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    """Print the script; ``ConfigError`` where the library that writes it is not installed."""
    try:
        import shtab
    except ModuleNotFoundError:
        raise ConfigError("completion", "needs shtab: pip install 'ragwatch[agent]'", source="this verb") from None
    parser = whole_parser()
    for action in _actions(parser):
        if action.dest.endswith(_DIRECTORIES):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is Path or action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of every verb."""
    for action in parser._actions:  # noqa: SLF001  (argparse has no public name for them)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for verb in action.choices.values():
                yield from _actions(verb)
        else:
            yield action


def whole_parser() -> argparse.ArgumentParser:
    """The parser of all verbs; a verb by itself is parsed without loading the others."""
    from ragwatch.cli import VERBS

    parser = argparse.ArgumentParser(prog="ragwatch")
    subparsers = parser.add_subparsers(dest="verb")
    for verb in VERBS:
        import_module(f"ragwatch.cli.{verb}").add_parser(subparsers)
    return parser
