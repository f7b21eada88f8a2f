"""Intervals for figures that come from few observations: a share or a mean is never shown without its n."""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log, sqrt
from statistics import NormalDist
from typing import NamedTuple


class Estimate(NamedTuple):
    """A figure with its interval and the number of observations behind it."""

    value: float
    low: float
    high: float
    n: int


def wilson(hits: float, n: float, confidence: float = 0.95) -> Estimate | None:
    """The Wilson score interval of a share; None where there is no observation.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    >>> estimate = wilson(8, 10)
    >>> round(estimate.low, 3), round(estimate.high, 3)
    (0.49, 0.943)
    """
    if n <= 0:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / n
    centre = share + z * z / (2 * n)
    margin = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Estimate(share, max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale), int(n))


def mean_interval(
    total: float, squares: float, n: float, confidence: float = 0.95, *, bounds: tuple[float, float] | None = None
) -> Estimate | None:
    """Student's t interval of a mean from sum, sum of squares and n, cut to ``bounds``; None where n is 0.

    With one observation nothing is known about the spread: the interval is the whole of ``bounds``, or infinite.

    >>> estimate = mean_interval(total=6.0, squares=14.0, n=3)
    >>> round(estimate.value, 3), round(estimate.low, 3), round(estimate.high, 3)
    (2.0, -0.484, 4.484)
    """
    if n <= 0:
        return None
    low_end, high_end = bounds or (float("-inf"), float("inf"))
    mean = total / n
    if n < 2:
        return Estimate(mean, low_end, high_end, int(n))
    variance = max(0.0, (squares - n * mean * mean) / (n - 1))
    margin = t_quantile(0.5 + confidence / 2, int(n) - 1) * sqrt(variance / n)
    return Estimate(mean, max(low_end, mean - margin), min(high_end, mean + margin), int(n))


@lru_cache(maxsize=4096)
def t_quantile(p: float, degrees: int) -> float:
    """The p-quantile (p > 0.5) of Student's t, by bisection on its distribution function.

    >>> round(t_quantile(0.975, 10), 3), round(t_quantile(0.975, 1), 2)
    (2.228, 12.71)
    """
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        if 1 - 0.5 * _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + middle * middle)) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function by Lentz's continued fraction (Numerical Recipes, section 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    fraction, c, d = 1.0, 1.0, 0.0
    for i in range(300):
        m = i // 2
        if i == 0:
            numerator = 1.0
        elif i % 2 == 0:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 + numerator * d
        d = 1 / (d if abs(d) > 1e-30 else 1e-30)
        c = 1 + numerator / (c if abs(c) > 1e-30 else 1e-30)
        fraction *= c * d
        if abs(1 - c * d) < 1e-12:
            break
    return front * (fraction - 1)
