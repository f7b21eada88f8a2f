"""What symptom alerts decide on: counts over a window and before it, recorded under names of their own.

An alert on a share asks Wilson's bound of it, which is made of two counts: few events say little, and a share of few
events that is high by chance alone fires nothing. Baselines look back a week and leave the last day out, so that a
fault does not become what it is compared with; until that is more, the day before the window is the baseline.
"""

from __future__ import annotations

from typing import Final

from ragwatch.catalogue_kpis import ANSWERED as OUTCOMES_ANSWERED
from ragwatch.monitoring.alert import Z
from ragwatch.monitoring.kpis import BY
from ragwatch.monitoring.promql import increase, rate, series, total, wilson

ANSWERED: Final = "=~" + "|".join(OUTCOMES_ANSWERED)
_DAY_S, _WEEK_S = 86400, 604800
_WEEK = f"[{{{_WEEK_S}s}}] offset {{{_DAY_S}s}}"
SEEN: Final = series("rag.query.duration", "_count")
_QUERIES: Final = "rag:queries:increase"
LIKELY_QUERIES: Final = 5
"""So many a window by the last day's traffic: one that comes in clumps has windows without any."""


def _over(selector: str, span: str, *by: str) -> str:
    return f"sum by ({', '.join((*BY, *by))}) (increase({selector}{span}))"


def _baseline(name: str, selector: str, window_s: int, *by: str) -> dict[str, str]:
    """A count over the week before the last day, and over the day before the window."""
    return {
        f"{name}:week_before": _over(selector, _WEEK, *by),
        f"{name}:day_before": _over(selector, f"[{{{_DAY_S}s}}] offset {{{window_s}s}}", *by),
    }


def _better(part: str, whole: str) -> dict[str, str]:
    """The baseline of a share: of the week, except where (in a service's first days) that is less than the day."""
    more = f"{whole}:week_before >= {whole}:day_before"
    return {
        f"{part}:baseline": f"({part}:week_before and {more}) or {part}:day_before or {part}:week_before",
        f"{whole}:baseline": f"{more} or {whole}:day_before or {whole}:week_before",
    }


_JUDGEMENTS: Final = "rag.judgements"


def _judged(**labels: str) -> tuple[str, str]:
    return series(_JUDGEMENTS, "", scoped=False, verdict="good", **labels), series(
        _JUDGEMENTS, "", scoped=False, **labels
    )


_JUDGED: Final = {
    "retrieval": _judged(target="retrieval"),
    "hit_answers": _judged(target="answer", cache="hit"),
    "new_answers": _judged(target="answer", cache="miss"),
}
"""What is judged → its good judgements, and all."""
_ERRORS: Final = total(increase(series("rag.query.errors"), "{300s}"), *BY, "step")
_TRIED: Final = total(increase(series("rag.query.duration", "_count", outcome=ANSWERED), "{300s}"), *BY)
_EMPTY: Final = series("rag.retrieval.requests", result="empty")
_WORKED: Final = series("rag.retrieval.requests", result="=~ok|empty|below_threshold")
_HITS: Final = series("rag.cache.lookups", result="hit")
_LOOKUPS: Final = series("rag.cache.lookups", result="=~hit|miss")

NOW: Final[dict[str, str]] = {
    "rag:step_errors:increase5m": _ERRORS,
    "rag:step_tried:increase5m": f"0 * rag:step_errors:increase5m + on (service, environment) group_left () {_TRIED}",
    "rag:empty_retrievals:increase10m": _over(_EMPTY, "[{600s}]", "data_source"),
    "rag:retrievals:increase10m": _over(_WORKED, "[{600s}]", "data_source"),
    "rag:attempts:increase5m": _over(series("rag.retry.attempts"), "[{300s}]", "operation"),
    "rag:retry_calls:increase5m": _over(series("rag.retry.calls"), "[{300s}]", "operation"),
    "rag:extra_attempts:increase5m": "rag:attempts:increase5m - rag:retry_calls:increase5m",
    "rag:cache_hits:increase15m": _over(_HITS, "[{900s}]", "cache"),
    "rag:cache_lookups:increase15m": _over(_LOOKUPS, "[{900s}]", "cache"),
    **{
        name: expr
        for what, (good, every) in _JUDGED.items()
        for name, expr in (
            (f"rag:{what}_good:increase6h", _over(good, "[{21600s}]", "source")),
            (f"rag:{what}_judged:increase6h", _over(every, "[{21600s}]", "source")),
        )
    },
}
"""Recorded before the alerts that look at them: name → expression."""


def _baselines() -> dict[str, str]:
    hits, lookups = "rag:cache_hits", "rag:cache_lookups"
    found = _baseline(hits, _HITS, 900, "cache") | _baseline(lookups, _LOOKUPS, 900, "cache") | _better(hits, lookups)
    for what, (good, every) in _JUDGED.items():
        part, whole = f"rag:{what}_good", f"rag:{what}_judged"
        found |= _baseline(part, good, 21600, "source") | _baseline(whole, every, 21600, "source")
        found |= _better(part, whole)
    queries = {f"{_QUERIES}6h": _over(SEEN, "[{21600s}]"), f"{_QUERIES}1d": _over(SEEN, f"[{{{_DAY_S}s}}]")}
    return found | queries


BASELINES: Final[dict[str, str]] = _baselines()
"""Recorded every few minutes: they hardly move, and a week of samples is much to read."""


def beyond(part: str, whole: str, limit: str) -> str:
    """The share where it is above the limit beyond chance, of at least so many.

    >>> beyond("bad", "every", "0.1")[:30]
    'bad / (every > 0) and (((bad /'
    """
    return f"{part} / ({whole} > 0) and ({wilson(part, whole, Z, '-')}) > {limit} and {whole} >= {{least}}"


def amplified(limit: float) -> str:
    """Attempts a call, where they are above the limit beyond chance: as a share, of attempts that are no first ones."""
    attempts, calls, extra = (f"rag:{what}:increase5m" for what in ("attempts", "retry_calls", "extra_attempts"))
    return (
        f"{attempts} / ({calls} > 0) > {limit:g} and ({wilson(extra, attempts, Z, '-')}) > {1 - 1 / limit:.6g} "
        f"and {calls} >= {{least}}"
    )


def slow() -> str:
    """The 95th percentile, where it is above ``{slow}`` and more are slower than is allowed, beyond chance."""
    answered = series("rag.query.duration", "_count", outcome=ANSWERED)
    fast = series("rag.query.duration", "_bucket", outcome=ANSWERED, le="{slow_edge}")
    every = total(increase(answered, "{w}"), *BY)
    late = f"({every} - {total(increase(fast, '{w}'), *BY)})"
    seconds = total(rate(series("rag.query.duration", "_bucket", outcome=ANSWERED), "{w}"), "le", *BY)
    return (
        f"histogram_quantile(0.95, {seconds}) >= {{slow}} and ({wilson(late, every, Z, '-')}) > {{allowed}} "
        f"and {every} >= {{least}}"
    )


def fell(what: str) -> str:
    """The share of good judgements is lower than its baseline, beyond chance: the two intervals do not touch."""
    now = wilson(f"rag:{what}_good:increase6h", f"rag:{what}_judged:increase6h", Z, "+")
    before = wilson(f"rag:{what}_good:baseline", f"rag:{what}_judged:baseline", Z, "-")
    return f"({now}) < ({before})"


def judged_enough(what: str) -> str:
    """There are judgements enough, now and before."""
    return f"rag:{what}_judged:increase6h >= {{least}} and rag:{what}_judged:baseline >= {{least}}"


def collapsed() -> str:
    """The hit rate of a cache where it is less than half of its baseline, beyond chance."""
    hits, lookups = "rag:cache_hits:increase15m", "rag:cache_lookups:increase15m"
    now = wilson(hits, lookups, Z, "+")
    before = wilson("rag:cache_hits:baseline", "rag:cache_lookups:baseline", Z, "-")
    return (
        f"{hits} / ({lookups} > 0) and ({now}) < 0.5 * ({before}) and {lookups} >= {{least}} "
        f"and rag:cache_lookups:baseline >= {{least}}"
    )


def silent() -> str:
    """How many there were at the same time a week ago, enough of them, where there is none now.

    Nights and weekends are as they were then. Over a quarter of an hour and an hour only where the last day's traffic
    says that some would be likely as well; over six hours and a day in any case, so that a small service's end is seen
    too, and one that nobody sees in the morning.
    """

    def zero(now: str, ago: str) -> str:
        return f"{ago} >= {{least}} and {now} == 0"

    day = f"{_QUERIES}1d"
    arms = [
        f"({zero(_over(SEEN, span), _over(SEEN, f'{span} offset {{{_WEEK_S}s}}'))} "
        f"and {day} >= {LIKELY_QUERIES * _DAY_S // seconds})"
        for seconds, span in ((900, "[{900s}]"), (3600, "[{3600s}]"))
    ]
    arms += [f"({zero(name, f'{name} offset {{{_WEEK_S}s}}')})" for name in (f"{_QUERIES}6h", day)]
    return " or ".join(arms)
