"""The Universal Scalability Law: throughput as a function of concurrency, fitted to what was measured.

Gunther, "Guerrilla Capacity Planning" (2007), chapters 4 to 6:  X(N) = λN / (1 + σ(N - 1) + κN(N - 1)), where λ is the
throughput of one, σ the share that waits in line (contention), κ the cost of keeping in step (coherency).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import Any, NamedTuple

FAR = 10
POOR_FIT = 0.8
"""Below this R² the law does not describe the app, and is said not to."""
FEWEST_POINTS = 4  # one more than there are parameters


class Law(NamedTuple):
    """A fitted law. ``r2`` is the share of the variance that it explains, ``points`` what it was fitted to."""

    rate: float
    contention: float
    coherency: float
    r2: float
    points: tuple[tuple[float, float], ...] = ()

    def throughput(self, concurrency: float) -> float:
        """X(N), a second.

        >>> Law(100, 0.0, 0.0, 1).throughput(4), round(Law(100, 0.1, 0.0, 1).throughput(4), 1)
        (400.0, 307.7)
        """
        n = concurrency
        return self.rate * n / (1 + self.contention * (n - 1) + self.coherency * n * (n - 1))

    @property
    def best_concurrency(self) -> float:
        """The N of the highest throughput, √((1 - σ)/κ); infinite where more users never hurt.

        So far beyond what was measured (``FAR`` times) it is infinite too: nothing there speaks for a peak.
        """
        if self.coherency <= 0:
            return inf
        best = sqrt(max(0.0, 1 - self.contention) / self.coherency)
        return inf if self.points and best > FAR * max(n for n, _ in self.points) else best

    @property
    def ceiling(self) -> float:
        """The highest throughput: at the best concurrency, else λ/σ, which more users only come nearer to."""
        if self.best_concurrency < inf:
            return self.throughput(max(1.0, self.best_concurrency))
        return self.rate / self.contention if self.contention > 0 else inf

    def to_dict(self) -> dict[str, Any]:
        """The law as JSON values; what is infinite is None."""
        return {
            "lambda": self.rate,
            "sigma": self.contention,
            "kappa": self.coherency,
            "r2": self.r2,
            "best_concurrency": None if self.best_concurrency == inf else self.best_concurrency,
            "ceiling": None if self.ceiling == inf else self.ceiling,
            "points": [list(point) for point in self.points],
        }


def fit(points: Sequence[tuple[float, float]]) -> Law | None:
    """The law that comes nearest to (concurrency, throughput) pairs, in relative error; None for fewer than four.

    >>> law = fit([(n, Law(100, 0.05, 0.001, 1).throughput(n)) for n in (1, 2, 4, 8, 16, 32)])
    >>> round(law.rate), round(law.contention, 3), round(law.coherency, 4), round(law.r2, 3)
    (100, 0.05, 0.001, 1.0)
    """
    known = [(n, x) for n, x in points if n > 0 and x > 0]
    if len({round(n, 3) for n, _ in known}) < FEWEST_POINTS:
        return None
    import numpy as np
    from scipy.optimize import curve_fit

    n, x = (np.array(values, dtype=float) for values in zip(*known, strict=True))

    def law(n: Any, rate: float, contention: float, coherency: float) -> Any:
        return rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1))

    start = (float(np.max(x / n)), 0.05, 1e-4)
    try:
        (rate, contention, coherency), _ = curve_fit(
            law, n, x, p0=start, sigma=x, bounds=([0, 0, 0], [np.inf, 1, 1]), maxfev=20_000
        )
    except RuntimeError:  # it does not converge
        return None
    left = float(np.sum((x - law(n, rate, contention, coherency)) ** 2))
    all_of_it = float(np.sum((x - x.mean()) ** 2))
    r2 = 1 - left / all_of_it if all_of_it > 0 else 1.0
    return Law(float(rate), float(contention), float(coherency), r2, tuple(known))
