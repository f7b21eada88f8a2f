"""What model calls cost, from a price table that the user supplies; a model that is not in it costs an unknown sum.

The table is YAML or JSON: US dollars for a million tokens, by the model's name.

    gpt-4o-mini: {input: 0.15, output: 0.60, cached: 0.075}
    text-embedding-3-small: {input: 0.02}

``input`` counts all tokens of the request; those that came from the provider's cache cost ``cached`` where it is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ragwatch.record import QueryRecord, Step

MILLION = 1_000_000
MAX_BYTES = 16 << 20
_FIELDS = ("input", "output", "cached")
_VERSION = re.compile(r"(?:[-@]\d{4}-\d{2}-\d{2}|[-@]\d{8}|-\d{4}|[-:]latest|[-:@]v?\d+(?:[.:]\d+)?)$")


class Price(NamedTuple):
    """US dollars for a million tokens."""

    input: float | None = None
    output: float | None = None
    cached: float | None = None


class Prices:
    """A price table.

    >>> prices = Prices({"gpt-4o": Price(2.5, 10.0, 1.25)})
    >>> prices.find("gpt-4o-2024-08-06") == prices.find("openai/gpt-4o") == Price(2.5, 10.0, 1.25)
    True
    >>> prices.find("gpt-4o-mini") is None
    True
    """

    def __init__(self, table: Mapping[str, Price]) -> None:
        self._table = {name.lower(): price for name, price in table.items()}
        self._found: dict[str, Price | None] = {}

    def find(self, model: str | None) -> Price | None:
        """The price of a model: by its name, without its provider before it, without its version behind it."""
        if model is None:
            return None
        if model not in self._found:
            if len(self._found) >= 1000:
                self._found.clear()
            self._found[model] = self._search(model.lower())
        return self._found[model]

    def cost_usd(self, step: Step) -> float | None:
        """What a call cost; None where its price or its tokens are unknown.

        >>> call = Step("generate", "chat", "a", None, 0, 1, model="m", input_tokens=1000, output_tokens=100,
        ...             cached_tokens=400)
        >>> Prices({"m": Price(1.0, 10.0, 0.5)}).cost_usd(call)
        0.0018
        """
        if step.step not in {"generate", "embed"} or step.cache_result == "hit" or step.input_tokens is None:
            return None
        price = self.find(step.response_model) or self.find(step.model)
        if price is None or price.input is None:
            return None
        cached = min(step.cached_tokens or 0, step.input_tokens) if price.cached is not None else 0
        cost = (step.input_tokens - cached) * price.input + cached * (price.cached or 0.0)
        if step.step == "generate":
            if step.output_tokens is None or price.output is None:
                return None
            cost += step.output_tokens * price.output
        return cost / MILLION

    def priced(self, step: Step) -> Step:
        """The step with its cost, where it says none and one can be worked out."""
        if step.cost_usd is not None:
            return step
        cost = self.cost_usd(step)
        return step if cost is None else step._replace(cost_usd=cost)

    def priced_query(self, record: QueryRecord) -> QueryRecord:
        """The query with the cost of each of its calls."""
        return record._replace(steps=tuple(self.priced(step) for step in record.steps))

    def _search(self, model: str) -> Price | None:
        for name in (model, model.rpartition("/")[2], model.partition(".")[2] or model):
            at = name
            while True:
                price = self._table.get(at)
                if price is not None:
                    return price
                shorter = _VERSION.sub("", at)
                if shorter == at:
                    break
                at = shorter
        return None


def read_prices(path: Path) -> Prices:
    """The price table in a file; ``ValueError`` says what is wrong with it, and where."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path} has more than {MAX_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return Prices(_table(_parsed(path, text)))


def _parsed(path: Path, text: str) -> Any:
    try:
        if path.suffix.lower() == ".json":
            return json.loads(text)
        import yaml

        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  (a safe loader)
    except Exception as error:
        raise ValueError(f"{path} is no YAML or JSON: {error}") from error


def _table(held: Any) -> dict[str, Price]:
    if not isinstance(held, Mapping):
        raise ValueError("should be a mapping of model → {input, output, cached}, US dollars per million tokens")  # noqa: TRY004
    return {str(model): _price(str(model), given) for model, given in held.items()}


def _price(model: str, given: Any) -> Price:
    if not isinstance(given, Mapping):
        raise ValueError(f"{model}: should be a mapping with input, output, cached")  # noqa: TRY004
    unknown = sorted(str(key) for key in given if key not in _FIELDS)
    if unknown:
        raise ValueError(f"{model}: no {unknown[0]!r}; there are {', '.join(_FIELDS)}")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise ValueError(f"{model}.{name}: should be US dollars per million tokens, not {value!r}")
    return Price(**{name: float(value) for name, value in given.items()})
