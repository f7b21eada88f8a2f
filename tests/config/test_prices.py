"""A price table of the user's: what a call cost, which name is which model, and what is wrong with a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragwatch.config.prices import Price, Prices, read_prices
from ragwatch.record import Step
from tests.support.records import query, step

TABLE = {"gpt-4o": Price(2.5, 10.0, 1.25), "gpt-4o-mini": Price(0.15, 0.6), "text-embedding-3-small": Price(0.02)}


def call(**fields: object) -> Step:
    return step("generate", **{"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100, **fields})


def test_cached_tokens_cost_less_where_the_table_says_so() -> None:
    prices = Prices(TABLE)
    assert prices.cost_usd(call()) == pytest.approx(0.0025 + 0.001)
    assert prices.cost_usd(call(cached_tokens=400)) == pytest.approx((600 * 2.5 + 400 * 1.25 + 100 * 10) / 1e6)
    assert prices.cost_usd(call(model="gpt-4o-mini", cached_tokens=400)) == pytest.approx((1000 * 0.15 + 60) / 1e6)
    assert prices.cost_usd(call(cached_tokens=5000)) == pytest.approx((1000 * 1.25 + 1000) / 1e6)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"model": "unheard-of"}, "no price"),
        ({"model": None}, "no model"),
        ({"input_tokens": None}, "no usage"),
        ({"output_tokens": None}, "half a usage"),
        ({"cache_result": "hit"}, "a replay, nobody was paid"),
        ({"model": "text-embedding-3-small"}, "no price for output"),
    ],
)
def test_unknown_is_not_zero(fields: dict[str, object], why: str) -> None:
    assert Prices(TABLE).cost_usd(call(**fields)) is None, why


def test_an_embedding_needs_no_output() -> None:
    embed = step("embed", model="text-embedding-3-small", input_tokens=1_000_000)
    assert Prices(TABLE).cost_usd(embed) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "gpt-4o"), ("GPT-4o", "gpt-4o"), ("openai/gpt-4o", "gpt-4o"), ("gpt-4o-2024-08-06", "gpt-4o"),
        ("azure/gpt-4o-mini-2024-07-18", "gpt-4o-mini"), ("gpt-4o:latest", "gpt-4o"), ("gpt-4o-latest", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o-mini"), ("gpt-4o-audio", None), ("gpt-4", None), ("", None),
    ],
)  # fmt: skip
def test_a_model_is_found_without_its_provider_and_version(model: str, name: str | None) -> None:
    assert Prices(TABLE).find(model) == (TABLE[name] if name else None)


def test_a_cost_that_was_given_stands() -> None:
    record = query(steps=(call(cost_usd=0.5), call(), step("retrieve")))
    assert [held.cost_usd for held in Prices(TABLE).priced_query(record).steps] == [0.5, pytest.approx(0.0035), None]


@pytest.mark.parametrize("name", ["prices.yaml", "prices.json"])
def test_a_table_in_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = {"m": {"input": 1, "output": 2.5}}
    path.write_text(json.dumps(table) if name.endswith("json") else "m: {input: 1, output: 2.5}\n")
    assert read_prices(path).find("m") == Price(1.0, 2.5, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "should be a mapping of model"),
        ("m: 3", "m: should be a mapping with input, output, cached"),
        ("m: {in: 3}", "m: no 'in'; there are input, output, cached"),
        ("m: {input: cheap}", "m.input: should be US dollars per million tokens, not 'cheap'"),
        ("m: {input: -1}", "m.input"),
        ("m: {input: .nan}", "m.input"),
        ("m: [", "is no YAML or JSON"),
    ],
)
def test_a_fault_in_a_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r".*") as caught:
        read_prices(path)
    assert said in str(caught.value)


def test_a_table_that_is_not_there_is_said_with_the_setting(tmp_path: Path) -> None:
    from ragwatch.config.agent import PREFIX, AgentSettings
    from ragwatch.config.loader import load
    from ragwatch.errors import ConfigError

    with pytest.raises(ConfigError, match=r"prices .*cannot be read"):
        load(AgentSettings, {"prices": tmp_path / "none.yaml"}, prefix=PREFIX)
