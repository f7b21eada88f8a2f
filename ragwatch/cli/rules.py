"""``ragwatch rules``: Prometheus' alert rules for your own objectives, and a test that an alert reaches you."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from ragwatch.errors import ConfigError, RagwatchError

EPILOG = """examples:
  ragwatch rules > alerts.yml                          with the objectives of dashboards/slo.yaml
  ragwatch rules --slo my-slo.yaml > alerts.yml        with yours
  ragwatch rules --runbooks https://example.org/rag > alerts.yml    alerts link to your copy of docs/runbooks.md
  ragwatch rules --recording > recording.yml
  ragwatch rules --collector > collector.yml           for the collector that runs otel-collector.yaml
  ragwatch rules --window-scale 0.01 > drill.yml       all windows a hundred times shorter
  ragwatch rules --test-fire RagBreakerOpen --alertmanager http://127.0.0.1:9093

exit codes: 0 done, 2 Alertmanager cannot be reached, or an argument or the file is wrong"""


def add_parser(subparsers: Any) -> None:
    """Declare the verb's options."""
    parser = subparsers.add_parser(
        "rules",
        help="Prometheus' rules for your own objectives",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--slo", type=Path, help="file of objectives (default: the bundled ones)")
    parser.add_argument("--window-scale", type=float, default=1.0, help="multiply every window, for a drill")
    parser.add_argument("--recording", action="store_true", help="the recording rules instead")
    parser.add_argument(
        "--collector", action="store_true", help="the alerts on a collector (otel-collector.yaml) instead"
    )
    parser.add_argument(
        "--runbooks",
        help="where you serve the runbooks that alerts link to (default: docs/runbooks.md, its path in the repository)",
    )
    parser.add_argument("--test-fire", metavar="NAME", help="send one alert of that name to Alertmanager")
    parser.add_argument("--alertmanager", default="http://127.0.0.1:9093", help="with --test-fire")
    parser.add_argument("--service", default="test-fire", help="with --test-fire: the alert's service")


def run(args: argparse.Namespace) -> int:
    """Print rules, or fire one."""
    from ragwatch.monitoring.rules import RUNBOOKS, alert_rules, collector_rules, recording_rules, to_yaml
    from ragwatch.monitoring.slo import BUNDLED, Slos, load_slos, slos_of

    if not 0 < args.window_scale <= 1:
        raise ConfigError("window-scale", f"{args.window_scale} is not in (0, 1]", source="--window-scale")
    if args.recording:
        print(to_yaml(recording_rules(args.window_scale), "Made by `ragwatch rules --recording`."), end="")
        return 0
    collector = collector_rules(args.window_scale, args.runbooks or RUNBOOKS)
    if args.collector and not args.test_fire:
        print(to_yaml(collector, "Made by `ragwatch rules --collector`."), end="")
        return 0
    slos: Slos = load_slos(args.slo) if args.slo else slos_of(BUNDLED, "the bundled objectives")
    rules = alert_rules(slos, args.window_scale, args.runbooks or RUNBOOKS)
    if args.test_fire:
        return _fire(args, [*rules["groups"], *collector["groups"]])
    print(to_yaml(rules, f"Made by `ragwatch rules` from {args.slo or 'the bundled objectives'}."), end="")
    return 0


def _fire(args: argparse.Namespace, groups: list[dict[str, Any]]) -> int:
    """Send the alert as Prometheus would, marked as a test, so that it goes the whole way to a receiver."""
    known = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    rule = known.get(args.test_fire)
    if rule is None:
        near = get_close_matches(args.test_fire, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
        raise ConfigError("test-fire", f"no alert {args.test_fire!r}; {hint}", source="--test-fire")
    now = datetime.now(UTC)
    alert = {
        "labels": {**rule["labels"], "alertname": args.test_fire, "service": args.service, "test": "true"},
        "annotations": {
            "summary": f"This is a test of {args.test_fire}: nothing is wrong",
            "runbook_url": rule["annotations"]["runbook_url"],
        },
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=5)).isoformat(),
    }
    url = f"{args.alertmanager.rstrip('/')}/api/v2/alerts"
    request = Request(url, json.dumps([alert]).encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urlopen(request, timeout=10):  # noqa: S310  (the user's own address)
            pass
    except (URLError, OSError) as error:
        raise RagwatchError(f"no Alertmanager takes alerts at {url}: {error}") from None
    print(f"{args.test_fire} was sent to {url}; it ends by itself in five minutes. Did it reach you?")
    return 0
