"""What the demo's models would cost. Nobody is paid: the figures are made up, so that cost is a KPI here too."""

from __future__ import annotations

from ragwatch.config.prices import MILLION, Price, Prices

PRICES = Prices({"extractive": Price(0.15, 0.60), "tfidf-svd": Price(0.02)})


def cost_usd(model: str, read: int | None, written: int | None = 0) -> float | None:
    """The made-up cost of a call that read and wrote so many tokens; None for a model of the user's own.

    >>> cost_usd("extractive", 1_000_000, 0), cost_usd("gpt-4o", 5, 5)
    (0.15, None)
    """
    price = PRICES.find(model)
    if price is None or read is None or written is None:
        return None
    return (read * (price.input or 0.0) + written * (price.output or 0.0)) / MILLION
