"""``promtool test rules`` on series of one's own, at the real scale: which alerts fire when, and how often."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ragwatch.monitoring.rules import alert_rules, collector_rules
from ragwatch.monitoring.slo import BUNDLED, Slos, slos_of
from tests.support.promtool import promtool

OBJECTIVES = slos_of(BUNDLED, "the bundled objectives")


class Look(NamedTuple):
    """At a second, whether anything matches."""

    expr: str
    at_s: int
    yields: bool


class Says(NamedTuple):
    """At a second, an alert fires once, with these labels (besides its severity) and this summary."""

    alert: str
    at_s: int
    labels: Mapping[str, str]
    summary: str


def fires(alert: str, at_s: int, **labels: str) -> Look:
    """The alert fires then, with these labels."""
    return Look(_firing(alert, labels), at_s, True)


def silent(alert: str, at_s: int, **labels: str) -> Look:
    """It does not."""
    return Look(_firing(alert, labels), at_s, False)


def at_most(alert: str, evaluations: int, until_s: int, **labels: str) -> Look:
    """It fires in no more than so many evaluations of the whole time."""
    return Look(f"sum(count_over_time({_firing(alert, labels)}[{until_s}s])) > {evaluations}", until_s, False)


def _firing(alert: str, labels: Mapping[str, str]) -> str:
    wanted = {"alertname": alert, "alertstate": "firing", **labels}
    return "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in wanted.items()) + "}"


def rules_of(*alerts: str, slos: Slos = OBJECTIVES, severity: str = "") -> dict[str, Any]:
    """The groups with nothing but these alerts (of a severity) and what is recorded for them."""
    groups = alert_rules(slos)["groups"] + collector_rules()["groups"]

    def wanted(rule: Mapping[str, Any]) -> bool:
        return rule.get("alert") in alerts and severity in {"", rule["labels"]["severity"]}

    needed = "\n".join(rule["expr"] for group in groups for rule in group["rules"] if wanted(rule))
    for _ in range(2):  # what is recorded of what is recorded
        names = set(re.findall(r"\brag:[\w:]+", needed))
        needed += "\n".join(r["expr"] for group in groups for r in group["rules"] if r.get("record") in names)
    kept = []
    for group in groups:
        rules = [r for r in group["rules"] if wanted(r) or r.get("record") in names]
        if rules:
            kept.append({**group, "rules": rules})
    return {"groups": kept}


def check(
    folder: Path,
    rules: Mapping[str, Any],
    series: Mapping[str, Sequence[float | None]],
    looks: Iterable[Look | Says],
    *,
    sample_s: int = 60,
    evaluate_s: int | None = None,
    times: int = 1,
) -> None:
    """Fails with promtool's words where a look sees something else. A value a sample; None: it was not scraped.

    promtool reads 10,000 samples at once and no more: a week a minute is too many.
    """
    (folder / "rules.yml").write_text(yaml.safe_dump(dict(rules), width=1_000_000))
    asked = [*looks]
    test: dict[str, Any] = {
        "interval": f"{sample_s}s",
        "input_series": [{"series": name, "values": notation(values)} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"count({expr}) > bool 0",
                "eval_time": f"{at_s}s",
                "exp_samples": [{"labels": "{}", "value": 1}] if yields else [],
            }
            for expr, at_s, yields in (look for look in asked if isinstance(look, Look))
        ],
        "alert_rule_test": [_said(look, rules) for look in asked if isinstance(look, Says)],
    }
    run_promtool(folder, ["rules.yml"], [test] * times, f"{evaluate_s or sample_s}s")


def run_promtool(folder: Path, files: Iterable[str], tests: Sequence[Mapping[str, Any]], every: str) -> None:
    """``promtool test rules`` on rule files of a directory; fails with its words.

    Without ``group_eval_order`` promtool takes the groups of one moment in the order of a Go map: once in eight runs
    (of two groups) the alerts were looked at before what is recorded for them at that moment, and saw nothing.
    """
    names = [*files]
    held = [yaml.load((folder / name).read_text(), Loader=yaml.CSafeLoader) for name in names]
    order = [group["name"] for rules in held for group in rules["groups"]]
    whole = {"rule_files": names, "evaluation_interval": every, "group_eval_order": order, "tests": [*tests]}
    (folder / "test.yml").write_text(json.dumps(whole))  # which is YAML, and written fifty times as fast
    done = subprocess.run(
        [promtool(), "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:5000]


def _said(look: Says, rules: Mapping[str, Any]) -> dict[str, Any]:
    found = [rule for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == look.alert]
    labels = {**found[0]["labels"], **look.labels}
    annotations = {**found[0]["annotations"], "summary": look.summary}
    expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    return {"alertname": look.alert, "eval_time": f"{look.at_s}s", "exp_alerts": expected}


def notation(values: Sequence[float | None]) -> str:
    """Promtool's: what stays is written once; ``_`` where nothing was, ``stale`` where a series ended."""
    out: list[str] = []
    place = 0
    before: float | None = None
    while place < len(values):
        value = values[place]
        if value is None:
            out.append("_" if before is None else "stale")
            place += 1
        else:
            end = place
            while end + 1 < len(values) and values[end + 1] == value:
                end += 1
            out.append(f"{value:.12g}" if end == place else f"{value:.12g}x{end - place}")
            place = end + 1
        before = value
    return " ".join(out)


def cumulated(counts: Iterable[float], begin: float = 0.0) -> list[float]:
    """A counter's values."""
    found = []
    for count in counts:
        begin += count
        found.append(begin)
    return found
