"""PromQL over the catalogue: a metric or label that the catalogue does not know is an error when the files are made."""

from __future__ import annotations

from ragwatch.catalogue import metric, prometheus_name
from ragwatch.errors import CatalogueError

RATE = "$__rate_interval"
"""Grafana's window: four scrapes at least, as wide as the screen needs."""
BUDGET_LEFT = "rag:slo_budget_left:ratio"
"""Recorded by the rules of `ragwatch rules`, by objective (label ``slo``)."""
SCOPE = {"service": "=~$service", "environment": "=~$environment"}
TARGET = ("job", "instance")
"""The labels that a scrape gives to every series: of which agent it is."""
_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def series(name: str, suffix: str = "", *, scoped: bool = False, **labels: str) -> str:
    """A selector of one metric by its OTel name. A label's value may begin with ``=~``, ``!=`` or ``!~``.

    ``scoped`` adds the dashboards' variables for service and environment, where the metric has these labels.

    >>> series("rag.query.duration", "_count", outcome="error")
    'rag_query_duration_seconds_count{outcome="error"}'
    >>> series("rag.query.duration", outcome="error")
    Traceback (most recent call last):
    ragwatch.errors.CatalogueError: rag.query.duration is a histogram: take _bucket, _sum, _count
    """
    declared = metric(name)
    if suffix not in _SUFFIXES[declared.kind]:
        wanted = ", ".join(_SUFFIXES[declared.kind]) or "no suffix"
        raise CatalogueError(f"{name} is a {declared.kind}: take {wanted}")
    known = {label.prometheus: label for label in declared.labels}
    held = {key: value for key, value in SCOPE.items() if scoped and key in known}
    for key, value in {**held, **labels}.items():
        if key in TARGET or (key == "le" and suffix == "_bucket"):
            continue
        if key not in known:
            raise CatalogueError(f"{name} has no label {key!r}; it has {', '.join(known)}")
        _check(name, known[key].values, key, value)
    matchers = ",".join(f"{key}{_matcher(value)}" for key, value in {**held, **labels}.items())
    base = prometheus_name(declared.name, declared.kind, declared.unit) + suffix
    return f"{base}{{{matchers}}}" if matchers else base


def _check(name: str, values: tuple[str, ...], key: str, value: str) -> None:
    if not values or "$" in value:
        return
    for part in value.lstrip("=!~").split("|"):
        if part not in values:
            raise CatalogueError(f"{name}: {key} is never {part!r}; it is one of {', '.join(values)}")


def _matcher(value: str) -> str:
    for operator in ("=~", "!=", "!~"):
        if value.startswith(operator):
            return f'{operator}"{value[2:]}"'
    return f'="{value}"'


def rate(selector: str, window: str = RATE) -> str:
    """The per-second rate over a window."""
    return f"rate({selector}[{window}])"


def increase(selector: str, window: str) -> str:
    """The increase over a window."""
    return f"increase({selector}[{window}])"


def total(expression: str, *by: str) -> str:
    """The sum, by some labels.

    >>> total("up", "job"), total("up")
    ('sum by (job) (up)', 'sum(up)')
    """
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def share(part: str, whole: str) -> str:
    """A ratio of sums: 0 where there is no part yet, absent where the whole is 0 and nothing can be said.

    >>> share("sum(a)", "sum(b)")
    '(sum(a) or 0 * sum(b)) / (sum(b) > 0)'
    """
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def nonzero(expression: str, label: str) -> str:
    """The series that are above 0; where none is, one line at 0 whose ``label`` says ``nothing``.

    What begins at 0 has many series that never move: a legend of them says nothing.

    >>> nonzero("sum by (step) (a)", "step")
    'sum by (step) (a) > 0 or on () label_replace(0 * sum(sum by (step) (a)), "step", "nothing", "", "")'
    """
    return f'{expression} > 0 or on () label_replace(0 * sum({expression}), "{label}", "nothing", "", "")'


def begun(expression: str, anchor: str, label: str) -> str:
    """Its series; where there is none at all, one at 0 whose ``label`` says ``nothing``, while ``anchor`` is there.

    For what need not exist: a panel without data could as well be one whose scrape fails.

    >>> begun("sum by (result) (a)", "up", "result")
    'sum by (result) (a) or on () label_replace(0 * sum(up), "result", "nothing", "", "")'
    """
    return f'{expression} or on () label_replace(0 * sum({anchor}), "{label}", "nothing", "", "")'


def wilson(good: str, n: str, z: float, sign: str) -> str:
    """One bound of Wilson's interval for ``good`` of ``n`` (E. B. Wilson, 1927); ``sign`` is ``+`` or ``-``.

    With p = good / n: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    """
    p = f"({good} / ({n} > 0))"
    square = f"{z * z:.6g}"
    root = f"sqrt({p} * (1 - {p}) / ({n}) + {square} / (4 * ({n}) ^ 2))"
    return f"({p} + {square} / (2 * ({n})) {sign} {z:g} * {root}) / (1 + {square} / ({n}))"


def student(added: str, squares: str, n: str, sign: str) -> str:
    """One bound of Student's t interval of a mean in [0, 1] from sum, sum of squares and number; absent where n < 2.

    The quantile of t is the normal one's with Cornish and Fisher's first three terms in 1 / (n - 1): too small by 3 %
    where n is 3, by less than 1 % from 5 on.
    """
    mean, degrees = f"({added} / ({n} > 1))", f"({n} - 1)"
    t = f"(1.96 + 2.3723 / {degrees} + 2.8225 / {degrees} ^ 2 + 2.5559 / {degrees} ^ 3)"
    variance = f"clamp_min(({squares} / ({n}) - {mean} ^ 2) / {degrees}, 0)"
    return f"clamp_max(clamp_min({mean} {sign} {t} * sqrt({variance}), 0), 1)"


def budget_left(slo: str) -> str:
    """The recorded budget of an objective, of the service that has least left.

    >>> budget_left("latency")
    'min(rag:slo_budget_left:ratio{slo="latency",service=~"$service",environment=~"$environment"})'
    """
    scope = ",".join(f"{key}{_matcher(value)}" for key, value in SCOPE.items())
    return f'min({BUDGET_LEFT}{{slo="{slo}",{scope}}})'
