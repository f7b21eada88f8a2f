"""A recorded run as input for ``promtool test rules``: what the agent's /metrics showed each second, as series."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ragwatch.monitoring import drill
from tests.support.drill import Drill
from tests.support.rules_on import run_promtool

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
Values = list[float | None]
Series = dict[Key, Values]
"""By name and labels: a value a second, None where there was no such series."""
Check = tuple[str, int, bool]
"""(alert, second, whether it fires then)"""


def recorded(played: Drill, rules: Mapping[str, str]) -> Series:
    """The series of a run that these rules read, from its beginning on."""
    used = set(re.findall(r"\b(?:rag|ragwatch|gen_ai)_\w+", "\n".join(rules.values())))
    found: Series = {}
    keys: dict[str, Key | None] = {}
    for second, (_, text) in enumerate(played.scrapes):
        for line in text.splitlines():
            shown, _, value = line.rpartition(" ")
            if shown not in keys:
                keys[shown] = _key(shown, used)
            key = keys[shown]
            if key is not None:
                values = found.setdefault(key, [])
                values.extend([None] * (second - len(values)))
                values.append(float(value))
    for values in found.values():
        values.extend([None] * (len(played.scrapes) - len(values)))
    found["up", (("instance", "agent"), ("job", "ragwatch"))] = [1.0] * len(played.scrapes)
    return found


def _key(shown: str, used: set[str]) -> Key | None:
    """The series of a line of the exposition; None for a comment, and for what no rule reads."""
    name, _, labels = shown.partition("{")
    if name not in used:
        return None
    held = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    return name, tuple(sorted({**held, "job": "ragwatch", "instance": "agent"}.items()))


def calm_twice(played: Drill, series: Series) -> tuple[Series, int]:
    """The calm act, and once more after it: counters go on from where they were; and how long one is."""
    began, ended = (played.acts[act] for act in drill.ACTS[:2])
    length = int(ended - began) - 1
    twice: Series = {}
    for key, values in series.items():
        once = values[:length]
        last = once[-1]
        if last is None:
            continue
        first = next(value for value in once if value is not None)
        is_counter = key[0].endswith(("_total", "_count", "_sum", "_bucket"))
        again: Values = [last + value - first if is_counter else value for value in once if value is not None]
        twice[key] = [*once, *again, *([again[-1]] * (length - len(again)))]
    return twice, length


def grow(series: Series, length: int, name: str, per_s: float, **labels: str) -> None:
    """Let the counters with these labels grow by so much a second more in the second half."""
    for key, values in matching(series, name, **labels):
        series[key] = [
            value if value is None or place < length else value + per_s * (place - length + 1)
            for place, value in enumerate(values)
        ]


def stop(series: Series, length: int, name: str = "", **labels: str) -> None:
    """Let the counters with these labels (or all) stand still in the second half."""
    for key, values in matching(series, name, **labels):
        if key[0].endswith(("_total", "_count", "_sum", "_bucket")):
            series[key] = [*values[:length], *[values[length - 1]] * (len(values) - length)]


def matching(series: Series, name: str, **labels: str) -> list[tuple[Key, Values]]:
    """The series of that name (or all) with these labels."""
    return [
        (key, values)
        for key, values in series.items()
        if name in {key[0], ""} and labels.items() <= dict(key[1]).items()
    ]


def run(folder: Path, rules: Mapping[str, str], series: Series, checks: Iterable[Check]) -> None:
    """``promtool test rules`` says that each alert fires, or is silent, at its second."""
    for name, text in rules.items():
        (folder / name).write_text(text)
    test = {
        "interval": "1s",
        "input_series": [{"series": _selector(key), "values": _notation(values)} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0',
                "eval_time": f"{second}s",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if fires else [],
            }
            for alert, second, fires in checks
        ],
    }
    run_promtool(folder, rules, [test], "1s")


def _selector(key: Key) -> str:
    name, labels = key
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels) + "}"


def _notation(values: Values) -> str:
    """Promtool's: ``_`` where nothing was scraped, ``stale`` where a series has gone."""
    out = []
    before: float | None = None
    for value in values:
        out.append(("_" if before is None else "stale") if value is None else f"{value:.10g}")
        before = value
    return " ".join(out)


Change = Callable[[Series, int], None]


def gone(series: Series, length: int) -> None:
    """Nothing is scraped any more."""
    for (name, _), values in series.items():
        values[length:] = [0.0 if name == "up" else None] * (len(values) - length)


def twice(series: Series, length: int) -> None:
    """The same KPIs come by a second job."""
    for (name, labels), values in list(series.items()):
        other = tuple(sorted({**dict(labels), "job": "collector"}.items()))
        series[name, other] = [*[None] * length, *values[length:]]


def stuck(series: Series, length: int) -> None:
    """The upstream takes nothing, and more waits each second."""
    stop(series, length, "ragwatch_agent_forwarded_total")
    for _, values in matching(series, "ragwatch_agent_lag", consumer="forward"):
        values[length:] = [float(second + 1) for second in range(len(values) - length)]


def behind(series: Series, length: int) -> None:
    """The agent's inbox is a minute and a half old."""
    for _, values in matching(series, "ragwatch_agent_inbox_oldest_seconds"):
        values[length:] = [90.0] * (len(values) - length)


def no_hits(series: Series, length: int) -> None:
    """Three times as many people ask, and the cache is empty."""
    stop(series, length, "rag_cache_lookups_total", result="hit")
    grow(series, length, "rag_cache_lookups_total", 60, result="miss")


def empty(series: Series, length: int) -> None:
    """Every other retrieval finds nothing."""
    grow(series, length, "rag_retrieval_requests_total", 15, result="empty")


def bad(series: Series, length: int) -> None:
    """Retrieval is judged bad by labels."""
    stop(series, length, "rag_judgements_total", target="retrieval", source="label", verdict="good")
    grow(series, length, "rag_judgements_total", 10, target="retrieval", source="label", verdict="bad")


CHANGES: dict[str, Change] = {
    "RagwatchDown": gone,
    "RagwatchForwardStuck": stuck,
    "RagwatchRefuses": lambda series, length: grow(
        series, length, "ragwatch_agent_refused_total", 5, reason="inbox_full"
    ),
    "RagKpisTwice": twice,
    "RagwatchAgentBehind": behind,
    "RagCacheCollapse": no_hits,
    "RagEmptyRetrievals": empty,
    "RagRetrievalBurnRate": empty,
    "RagRetrievalAccuracyLow": bad,
    "RagRetryStorm": lambda series, length: grow(series, length, "rag_retry_attempts_total", 30),
    "RagTelemetryLost": lambda series, length: grow(series, length, "ragwatch_sdk_lost_total", 50, reason="queue_full"),
    "RagwatchDeadLetters": lambda series, length: grow(series, length, "ragwatch_agent_dead_letters_total", 1),
    "RagErrorRate": lambda series, length: grow(
        series, length, "rag_query_errors_total", 5, step="retrieve", error_class="connection"
    ),
    "RagAvailabilityBurnRate": lambda series, length: grow(
        series, length, "rag_query_duration_seconds_count", 10, outcome="error", cache="miss"
    ),
    "RagLatencyBurnRate": lambda series, length: grow(
        series, length, "rag_query_duration_seconds_count", 10, outcome="ok", cache="miss"
    ),
}
"""By alert: what goes wrong in a calm run. The alerts that an act of the demo fires need no such change."""
