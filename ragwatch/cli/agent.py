"""``ragwatch agent``: run the sidecar."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

EPILOG = """examples:
  ragwatch agent                                         OTLP on 4317 and 4318, KPIs at http://127.0.0.1:9464/metrics
  ragwatch agent --upstream http://collector:4318        everything goes on to a collector, nothing is lost meanwhile
  ragwatch agent --host 0.0.0.0 --token "$TOKEN"         reached by other hosts: with a token
  ragwatch agent --directory /var/lib/ragwatch --queries-kept 100000
  ragwatch agent --config agent.yaml                     each option is a key of the file, and a variable:
  RAGWATCH_AGENT_HTTP_PORT=14318 ragwatch agent          ragwatch config show --settings agent says which is in force

exit codes: 0 ended by SIGTERM or Ctrl-C, 2 a setting cannot be used (a port or the directory is taken, …)"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options; each is also a variable (``RAGWATCH_AGENT_HTTP_PORT``) and a key of the file."""
    parser = subparsers.add_parser(
        "agent",
        help="run the sidecar: OTLP in, KPIs out",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, help="YAML, TOML or JSON file of settings (RAGWATCH_AGENT_CONFIG)")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--grpc-port", help="OTLP over gRPC (default 4317; 0 picks a free one)")
    parser.add_argument("--http-port", help="OTLP over HTTP (default 4318)")
    parser.add_argument("--web-port", help="/metrics and /api (default 9464)")
    parser.add_argument("--directory", help="where everything is kept (default ~/.local/state/ragwatch)")
    parser.add_argument("--token", help="bearer token that senders and readers must show")
    parser.add_argument("--insecure", action="store_const", const=True, help="listen off loopback without a token")
    parser.add_argument(
        "--prices", help="price table, YAML or JSON: model → USD per million input, output, cached tokens"
    )
    parser.add_argument("--upstream", help="forward everything to http://host:4318 or grpc://host:4317")
    parser.add_argument("--upstream-headers", help="key=value pairs, separated by commas")
    parser.add_argument("--upstream-timeout-s", help="time-out of one request to the upstream (default 10)")
    parser.add_argument("--upstream-gzip", action="store_const", const=True, help="compress requests to the upstream")
    parser.add_argument("--metrics-interval-s", help="how often the KPIs go upstream (default 15)")
    parser.add_argument("--max-inbox-bytes", help="disk for requests that wait (default 1 GiB)")
    parser.add_argument("--max-body-bytes", help="largest request, before and after decompression (default 64 MiB)")
    parser.add_argument("--max-pending-bytes", help="memory for requests that are being written (default 64 MiB)")
    parser.add_argument("--max-pending-spans", help="steps that wait for their query's root (default 200,000)")
    parser.add_argument("--max-waiting-bytes", help="the same, by what they took on the wire (default 256 MiB)")
    parser.add_argument("--queries-kept", help="queries that can be looked up, some 3 kB each (default 500)")
    parser.add_argument("--commit-interval-s", help="how often results become visible (default 0.5)")
    parser.add_argument("--linger-s", help="wait for steps still on their way after a query's root (default 0.25)")
    parser.add_argument("--foreign-linger-s", help="the same for spans of others' instrumentors (default 6)")
    parser.add_argument("--incomplete-after-s", help="wait for a root that does not come (default 300)")
    parser.add_argument("--stream-idle-s", help="silence after which an app's process counts as ended (default 900)")


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM; ``ConfigError`` for a setting that cannot be used."""
    from ragwatch.agent.app import hand_over
    from ragwatch.config.agent import PREFIX, AgentSettings
    from ragwatch.config.loader import load

    variable = f"{PREFIX}CONFIG"
    named = args.config or os.environ.get(variable) or None
    file, source = Path(named) if named else None, "" if args.config else variable
    given = {key: value for key, value in vars(args).items() if key not in {"verb", "config"}}
    settings, sources = load(AgentSettings, given, prefix=PREFIX, file=file, file_source=source)
    hand_over(settings.values(), sources)
    return 0
