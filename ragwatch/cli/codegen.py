"""``ragwatch codegen``: write what derives from the catalogue, or check that it is fresh."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ragwatch.codegen import FILES, stale, write
from ragwatch.errors import ConfigError

EPILOG = """examples:
  ragwatch codegen                  in a checkout: dashboards, rules, docs from ragwatch/catalogue.py
  ragwatch codegen --check          for CI

exit codes: 0 written, or all are fresh, 1 a file is stale (--check), 2 there is no checkout"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "codegen",
        help="write the files that derive from the metric catalogue",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")


def run(args: argparse.Namespace) -> int:
    """Write, or check."""
    if not (args.root / "pyproject.toml").is_file():
        raise ConfigError("--root", f"{args.root.resolve()} is no checkout of ragwatch", source="argument")
    if not args.check:
        for path in write(args.root):
            print(f"wrote {path}")
        return 0
    old = stale(args.root)
    for path in old:
        print(f"{path} is stale: run `ragwatch codegen`")
    if not old:
        print(f"{len(FILES)} generated files are fresh")
    return 1 if old else 0
