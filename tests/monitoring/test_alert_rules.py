"""The alerts on apps, at the real scale by promtool: how often they fire where nothing is wrong, and that they fire.

Traffic is random and seeded; a month of it a minute a sample, as the rules see it.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from ragwatch.monitoring.rules import alert_rules
from ragwatch.monitoring.slo import BUNDLED, slos_of
from tests.support.rules_on import OBJECTIVES, Look, Says, at_most, check, cumulated, fires, rules_of, silent

DAY = 1440
"""Minutes."""
MONTH = 30 * DAY
HERE = 'service="%s",environment="prod",job="ragwatch",instance="a"'
Series = dict[str, list[float | None]]


def arrivals(draw: random.Random, minutes: int, an_hour: Callable[[int], float], tick: int = 1) -> list[int]:
    """How many came in each minute (or each so many), at random at that rate."""
    return [poisson(draw, an_hour(minute) / 60 * tick) for minute in range(0, minutes, tick)]


def poisson(draw: random.Random, mean: float) -> int:
    """A draw: the product of so many uniform ones (Knuth)."""
    limit, found, product = math.exp(-mean), 0, draw.random()
    while product > limit:
        found += 1
        product *= draw.random()
    return found


def split(draw: random.Random, counts: list[int], share: float) -> tuple[list[int], list[int]]:
    """(those it happens to, the others)."""
    hit = [sum(draw.random() < share for _ in range(count)) for count in counts]
    return hit, [count - lost for count, lost in zip(counts, hit, strict=True)]


def counter(counts: Iterable[float]) -> list[float | None]:
    return [*cumulated(counts)]


def queries(outcome: str, service: str = "bot") -> str:
    return f'rag_query_duration_seconds_count{{outcome="{outcome}",{HERE % service}}}'


def failed(step: str = "retrieve", service: str = "bot") -> str:
    return f'rag_query_errors_total{{step="{step}",error_class="timeout",{HERE % service}}}'


def cache(result: str, service: str = "bot") -> str:
    return f'rag_cache_lookups_total{{cache="answers",result="{result}",{HERE % service}}}'


def retrieved(result: str, service: str = "bot") -> str:
    return f'rag_retrieval_requests_total{{data_source="docs",result="{result}",{HERE % service}}}'


def judged(target: str, verdict: str, answered_by: str = "miss") -> str:
    labels = f'target="{target}",source="label",verdict="{verdict}",cache="{answered_by}"'
    return f"rag_judgements_total{{{labels},{HERE % 'bot'}}}"


def at_once(rules: dict[str, Any]) -> dict[str, Any]:
    """Without waiting: looked at seldom, each that is over its limit once is to be seen."""
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    return rules


def test_half_of_the_errors_that_are_allowed_page_nobody_on_little_traffic(tmp_path: Path) -> None:
    series: Series = {}
    for an_hour in (25, 60):
        draw = random.Random(an_hour)
        bad, good = split(draw, arrivals(draw, MONTH, lambda _, rate=an_hour: rate), 0.005)  # type: ignore[misc]
        assert sum(bad) > 50
        series |= {queries("error", str(an_hour)): counter(bad), queries("ok", str(an_hour)): counter(good)}
    looks = [at_most("RagAvailabilityBurnRate", 0, MONTH * 60)]
    check(tmp_path, rules_of("RagAvailabilityBurnRate", severity="page"), series, looks, evaluate_s=2400)


def test_an_outage_of_little_traffic_pages_all_the_same(tmp_path: Path) -> None:
    bad = [0.0] * 600 + [0.5] * 120
    good = [0.5] * 600 + [0.0] * 120
    series = {queries("error"): counter(bad), queries("ok"): counter(good)}
    page = {"severity": "page", "service": "bot", "slo": "availability"}
    looks = [
        silent("RagAvailabilityBurnRate", 599 * 60),
        fires("RagAvailabilityBurnRate", 615 * 60, **page),
        fires("RagAvailabilityBurnRate", 719 * 60, **page),
    ]
    check(tmp_path, rules_of("RagAvailabilityBurnRate", severity="page"), series, looks)


def test_random_arrivals_are_no_silence(tmp_path: Path) -> None:
    draw = random.Random(1)

    def office(rate: float) -> Callable[[int], float]:
        return lambda minute: rate if 8 <= minute % DAY / 60 < 18 and minute // DAY % 7 < 5 else 0.0

    rates: dict[str, Callable[[int], float]] = {
        "a hundred a day": lambda _: 100 / 24,
        "ten an hour": lambda _: 10,
        "a thousand a day": lambda _: 1000 / 24,
        "office hours": office(200),
        "office hours, few": office(15),
    }
    series = {queries("ok", name): counter(arrivals(draw, MONTH, rate, 5)) for name, rate in rates.items()}
    looks = [at_most("RagNoQueries", 0, MONTH * 60)]
    check(tmp_path, rules_of("RagNoQueries"), series, looks, sample_s=300, evaluate_s=900)


def test_a_real_silence_is_noticed_and_stays_so_for_days(tmp_path: Path) -> None:
    """The sooner, the more there was; and until it is mended."""
    stops = 9 * DAY
    series: Series = {}
    looks = [silent("RagNoQueries", stops * 60)]
    for an_hour, hours in {5: 26, 12: 7, 100: 1.75, 1000: 0.75}.items():
        name = str(an_hour)
        counts = arrivals(random.Random(an_hour), stops, lambda _, rate=an_hour: rate, 5)  # type: ignore[misc]
        series[queries("ok", name)] = counter(counts + [0] * (3 * DAY // 5))
        later = [h for h in (2, 5, 7, 20, 26, 40, 60, 71) if h > hours]
        looks += [fires("RagNoQueries", round((stops + h * 60) * 60), service=name) for h in (hours, *later)]
    check(tmp_path, rules_of("RagNoQueries"), series, looks, sample_s=300, evaluate_s=900)


def test_an_app_that_does_not_come_back_in_the_morning_is_noticed(tmp_path: Path) -> None:
    def office(minute: int) -> float:
        return 60 if 8 <= minute % DAY / 60 < 18 and minute // DAY % 7 < 5 and minute < 14 * DAY else 0.0

    counts = arrivals(random.Random(1), 15 * DAY, office, 5)
    morning = 14 * DAY + 8 * 60
    looks = [silent("RagNoQueries", morning * 60), fires("RagNoQueries", (morning + 60) * 60)]
    check(tmp_path, rules_of("RagNoQueries"), {queries("ok"): counter(counts)}, looks, sample_s=300, evaluate_s=900)


def test_a_cache_that_hits_seldom_has_not_collapsed(tmp_path: Path) -> None:
    series: Series = {}
    for share in (0.03, 0.1):
        draw = random.Random(share)
        hits, misses = split(draw, arrivals(draw, MONTH, lambda _: 480, 5), share)
        series |= {cache("hit", str(share)): counter(hits), cache("miss", str(share)): counter(misses)}
    rules = at_once(rules_of("RagCacheCollapse"))
    looks = [at_most("RagCacheCollapse", 0, MONTH * 60)]
    check(tmp_path, rules, series, looks, sample_s=300, evaluate_s=7200)


def test_a_cache_that_collapsed_is_said_until_it_is_mended(tmp_path: Path) -> None:
    """Not only until what is compared with it has become as bad: three days later it fires still."""
    draw = random.Random(1)
    breaks = 9 * DAY
    looked = arrivals(draw, 13 * DAY, lambda _: 600, 5)
    hits, misses = split(draw, looked[: breaks // 5], 0.4)
    series = {
        cache("hit"): counter(hits + [0] * (4 * DAY // 5)),
        cache("miss"): counter(misses + looked[breaks // 5 :]),
    }
    looks = [silent("RagCacheCollapse", breaks * 60), fires("RagCacheCollapse", (breaks + 60) * 60, cache="answers")]
    looks += [fires("RagCacheCollapse", (breaks + hours * 60) * 60) for hours in (20, 30, 48, 72)]
    check(tmp_path, rules_of("RagCacheCollapse"), series, looks, sample_s=300, evaluate_s=1800)


def test_alerts_are_looked_at_after_what_is_recorded_for_them(tmp_path: Path) -> None:
    """Each time: half an hour lies between two moments, and what was recorded before is forgotten by then."""
    groups = [
        {"name": "z first", "rules": [{"record": "rag:now", "expr": "rag_app_info"}]},
        {"name": "a second", "rules": [{"alert": "Seen", "expr": "rag:now", "labels": {}, "annotations": {}}]},
    ]
    series: Series = {"rag_app_info": [1.0] * 8}
    check(tmp_path, {"groups": groups}, series, [fires("Seen", 3 * 1800)], sample_s=1800, times=40)


def retried(metric: str, operation: str, labels: str = "") -> str:
    return f'rag_retry_{metric}_total{{operation="{operation}",{labels}{HERE % "bot"}}}'


def test_a_retry_storm_names_the_step_and_few_calls_or_little_more_is_none(tmp_path: Path) -> None:
    """Attempts and calls a minute; 1.6 attempts a call of thirty calls are no more than 1.5 beyond chance."""
    amounts = {"storm": (15, 6), "few": (9, 3), "chance": (9.6, 6), "many": (1600, 1000)}
    series: Series = {}
    for operation, (attempts, calls) in amounts.items():
        series[retried("attempts", operation)] = counter([calls] * 60 + [attempts] * 60)
        series[retried("calls", operation, 'result="ok",')] = counter([calls] * 120)
    for step, retries in (("retrieve", 9), ("generate", 1)):
        series[f'rag_step_retries_total{{step="{step}",{HERE % "bot"}}}'] = counter([0] * 60 + [retries] * 60)
    looks: list[Look | Says] = [silent("RagRetryStorm", 59 * 60)]
    looks += [silent("RagRetryStorm", 110 * 60, operation=name) for name in ("few", "chance")]
    looks += [fires("RagRetryStorm", 110 * 60, operation=name) for name in ("storm", "many")]
    check(tmp_path, rules_of("RagRetryStorm"), series, looks)
    one = {name: values for name, values in series.items() if "rag_retry" not in name or '"storm"' in name}
    said = "2.5 attempts a call of storm in bot: retries multiply the load; most in retrieve"
    labels = {"service": "bot", "environment": "prod", "operation": "storm"}
    check(tmp_path, rules_of("RagRetryStorm"), one, [Says("RagRetryStorm", 110 * 60, labels, said)])
    around = {name: values for name, values in one.items() if "rag_step" not in name}
    for step, outcome, calls in (("rerank", "error", 9), ("generate", "ok", 20), ("tool", "error", 10)):
        labelled = f'rag_step_calls_total{{step="{step}",outcome="{outcome}",{HERE % "bot"}}}'
        around[labelled] = counter([0] * 60 + [calls] * 60)
    said = said.replace("retrieve", "rerank")
    check(tmp_path, rules_of("RagRetryStorm"), around, [Says("RagRetryStorm", 110 * 60, labels, said)])


def test_an_open_breaker_that_few_meet_is_no_alert_and_one_that_probes_is_one_without_a_pause(tmp_path: Path) -> None:
    def state(breaker: str, name: str = "open") -> str:
        return f'rag_breaker_state{{breaker="{breaker}",state="{name}",{HERE % "bot"}}}'

    def calls(breaker: str, result: str) -> str:
        return f'rag_breaker_calls_total{{breaker="{breaker}",result="{result}",{HERE % "bot"}}}'

    probing: list[float | None] = [1.0, 0.0] * 30
    series: Series = {
        state("quiet"): [0.0] * 60 + [1.0] * 60,
        calls("quiet", "failure"): counter([0] * 60 + [1] * 4 + [0] * 56),
        state("met"): [0.0] * 60 + probing,
        calls("met", "failure"): counter([0] * 60 + [3] + [0] * 59),
        calls("met", "rejected"): counter([0] * 60 + [3] * 60),
        state("seldom", "forced_open"): [1.0] * 120,
        calls("seldom", "rejected"): counter([0.1] * 120),
        f'rag_step_calls_total{{step="retrieve",outcome="rejected",{HERE % "bot"}}}': counter([0] * 60 + [3] * 60),
    }
    looks = [silent("RagBreakerOpen", second) for second in (0, 30 * 60)]
    looks += [silent("RagBreakerOpen", minute * 60, breaker="quiet") for minute in range(60, 120, 5)]
    looks += [fires("RagBreakerOpen", 63 * 60, breaker="met"), fires("RagBreakerOpen", 100 * 60, breaker="seldom")]
    check(tmp_path, rules_of("RagBreakerOpen"), series, looks)
    quick = {name: [*values[59:119]] for name, values in series.items()}
    looks = [fires("RagBreakerOpen", second, breaker="met") for second in range(30, 590, 10)]
    check(tmp_path, rules_of("RagBreakerOpen"), quick, looks, sample_s=10)


def test_the_chance_that_a_few_of_few_are_slow_is_no_alert(tmp_path: Path) -> None:
    """A month of forty queries in ten minutes of which four in a hundred are slow, where five may be.

    In one look of five at least three of the forty are, more than one in twenty. Where three in ten are slow it fires.
    """
    series: Series = {}
    for service, share in (("as allowed", 0.04), ("slow", 0.3)):
        draw = random.Random(share)
        late, quick = split(draw, arrivals(draw, MONTH, lambda _: 240), share)
        every = [sum(both) for both in zip(late, quick, strict=True)]
        series[queries("ok", service)] = counter(every)
        for edge, counts in (("2.5", quick), ("5.0", quick), ("10.0", every), ("+Inf", every)):
            name = queries("ok", service).replace("_count{", f'_bucket{{le="{edge}",')
            series[name] = counter(counts)
    looks = [
        at_most("RagSlow", 8, MONTH * 60, service="as allowed"),
        *(fires("RagSlow", hours * 3600, service="slow") for hours in (1, 100, 700)),
    ]
    check(tmp_path, at_once(rules_of("RagSlow")), series, looks, evaluate_s=900)


def test_a_silence_says_how_many_queries_there_were_a_week_before(tmp_path: Path) -> None:
    counts = [3.0] * (9 * DAY // 5) + [0.0] * (DAY // 5)
    said = "bot has no query, and had 36 at this time of the week before"
    labels = {"service": "bot", "environment": "prod"}
    check(
        tmp_path,
        rules_of("RagNoQueries"),
        {queries("ok"): counter(counts)},
        [Says("RagNoQueries", 9 * DAY * 60 + 2 * 3600, labels, said)],
        sample_s=300,
        evaluate_s=900,
    )


def test_some_empty_retrievals_and_some_errors_page_nobody(tmp_path: Path) -> None:
    """Each by twos: shares that are healthy, at 40 retrievals in ten minutes and 25 queries in five."""
    series: Series = {}
    for share in (0.08, 0.1):
        draw = random.Random(share)
        empty, found = split(draw, arrivals(draw, MONTH, lambda _: 240), share)
        series |= {retrieved("empty", str(share)): counter(empty), retrieved("ok", str(share)): counter(found)}
    for share in (0.01, 0.02):
        draw = random.Random(share)
        bad, good = split(draw, arrivals(draw, MONTH, lambda _: 300), share)
        series |= {failed(service=str(share)): counter(bad), queries("error", str(share)): counter(bad)}
        series |= {queries("ok", str(share)): counter(good)}
    alerts = ("RagEmptyRetrievals", "RagErrorRate")
    looks = [at_most(alert, 1, MONTH * 60) for alert in alerts]
    check(tmp_path, at_once(rules_of(*alerts)), series, looks, evaluate_s=900)


def test_many_errors_and_many_empty_retrievals_page(tmp_path: Path) -> None:
    bad, good = [0.0] * 60 + [2.0] * 60, [6.0] * 60 + [4.0] * 60
    series = {failed(): counter(bad), queries("error"): counter(bad), queries("ok"): counter(good)}
    series |= {failed("rerank"): [0.0] * 120}
    series |= {retrieved("empty"): counter([0.3] * 60 + [4] * 60), retrieved("ok"): counter([6] * 120)}
    looks = [
        *(silent(alert, 59 * 60) for alert in ("RagErrorRate", "RagEmptyRetrievals")),
        fires("RagErrorRate", 70 * 60, step="retrieve", service="bot"),
        silent("RagErrorRate", 70 * 60, step="rerank"),
        fires("RagEmptyRetrievals", 75 * 60, data_source="docs"),
    ]
    check(tmp_path, rules_of("RagErrorRate", "RagEmptyRetrievals"), series, looks)


def test_how_much_pages_is_the_objectives_and_a_service_may_have_its_own(tmp_path: Path) -> None:
    slos = slos_of({**BUNDLED, "services": {"wide": {"retrieval": {"page_above": 0.8}}}}, "test")
    series: Series = {}
    for service in ("bot", "wide"):
        series |= {retrieved("empty", service): counter([6] * 60), retrieved("ok", service): counter([6] * 60)}
    looks = [
        fires("RagEmptyRetrievals", 3000, service="bot"),
        silent("RagEmptyRetrievals", 3000, service="wide"),
    ]
    check(tmp_path, rules_of("RagEmptyRetrievals", slos=slos), series, looks)


def test_retrieval_and_the_cache_that_fell_are_said_until_they_are_mended(tmp_path: Path) -> None:
    """For three days at least, while what they are compared with takes in the fault. Six judgements a sample."""
    before, after = 9 * DAY, 4 * DAY
    series: Series = {}
    for target, answered_by, worse in (("retrieval", "miss", 0.5), ("answer", "hit", 0.5), ("answer", "miss", 0.9)):
        good = [5.4] * (before // 10) + [6 * worse] * (after // 10)
        series[judged(target, "good", answered_by)] = counter(good)
        series[judged(target, "bad", answered_by)] = counter([6 - value for value in good])
    alerts = ("RagRetrievalFell", "RagCacheAnswersWorse")
    looks = [silent(alert, before * 60) for alert in alerts]
    looks += [fires(alert, (before + hours * 60) * 60) for alert in alerts for hours in (4, 20, 30, 48, 72)]
    check(tmp_path, rules_of(*alerts), series, looks, sample_s=600, evaluate_s=3600)


def test_in_the_first_days_the_day_before_is_the_baseline(tmp_path: Path) -> None:
    good = [0.9] * 900 + [0.5] * 540
    series = {
        judged("retrieval", "good"): counter(good),
        judged("retrieval", "bad"): counter([1 - value for value in good]),
    }
    looks = [silent("RagRetrievalFell", 900 * 60), fires("RagRetrievalFell", 1140 * 60)]
    check(tmp_path, rules_of("RagRetrievalFell"), series, looks, evaluate_s=300)


def test_a_budget_is_what_was_bad_of_all_and_a_restart_of_the_agent_is_no_event(tmp_path: Path) -> None:
    """Half a percent bad is half of the budget of a target of 99 %; counters begin anew in the middle."""
    days = 3
    bad = counter([0.05] * (days * DAY // 2))
    every = counter([9.95] * (days * DAY // 2))
    series = {queries("error"): bad * 2, queries("ok"): every * 2}
    (group, *_) = alert_rules(OBJECTIVES)["groups"]
    assert group["name"] == "ragwatch.baselines"
    assert group["interval"] == "4m"
    rules = {"groups": [{**group, "rules": [r for r in group["rules"] if "slo" in r.get("labels", ())]}]}
    left = 'rag:slo_budget_left:ratio{slo="availability",service="bot"}'
    looks = [Look(f"abs({left} - 0.5) < 0.01", at, True) for at in (3 * 3600, days * DAY * 60 - 60)]
    check(tmp_path, rules, series, looks, evaluate_s=240)


def test_what_alerts_read_is_recorded_before_them() -> None:
    seen: set[str] = set()
    for group in alert_rules(OBJECTIVES)["groups"]:
        for rule in group["rules"]:
            assert set(re.findall(r"\brag:[\w:]+", yaml.safe_dump(rule["expr"]))) <= seen, rule
            seen.add(rule.get("record", ""))
