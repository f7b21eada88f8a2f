"""``ragwatch dashboards``: Grafana's dashboards, with the thresholds of your own objectives."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ragwatch.errors import ConfigError

EPILOG = """examples:
  ragwatch dashboards grafana                              with the objectives of dashboards/slo.yaml
  ragwatch dashboards grafana --slo my-slo.yaml            with yours: what is green, orange and red
  ragwatch dashboards grafana --slo my-slo.yaml --service support-bot
                                                           another set, with those of one service

Put the files where Grafana's provisioning looks for them, or import them in its browser page. They go with the rules of
the same objectives: ragwatch rules --slo my-slo.yaml > alerts.yml

exit codes: 0 written, 2 a file or an argument is wrong, or the directory cannot be written"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "dashboards",
        help="Grafana's dashboards for your own objectives",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, help="where the files go, one JSON a dashboard")
    parser.add_argument("--slo", type=Path, help="file of objectives (default: the bundled ones)")
    parser.add_argument("--service", help="one service's dashboards, with the objectives of its own")


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    from ragwatch.monitoring.board_files import board_files
    from ragwatch.monitoring.slo import BUNDLED, load_slos, slos_of

    slos = load_slos(args.slo) if args.slo else slos_of(BUNDLED, "the bundled objectives")
    own = sorted({service for services in slos.special.values() for service in services})
    files = board_files(slos, args.service)
    try:
        args.directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (args.directory / name).write_text(text, encoding="utf-8")
            print(args.directory / name)
    except OSError as error:
        raise ConfigError("directory", f"cannot be written: {error}", source=str(args.directory)) from None
    if args.service is None and own:
        print(
            f"note: objectives of their own: {', '.join(own)}; the colours here are those of all other services. "
            f"--service {own[0]} writes that one's dashboards beside these",
            file=sys.stderr,
        )
    if args.service is not None and args.service not in own:
        print(
            f"note: {args.service} has no objectives of its own; the colours are those of all services", file=sys.stderr
        )
    return 0
