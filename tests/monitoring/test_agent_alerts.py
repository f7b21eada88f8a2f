"""The alerts on agents, at the real scale by promtool: one of several is away, gaps in the scrapes, a full inbox."""

from __future__ import annotations

from pathlib import Path

from tests.support.rules_on import Look, Says, check, cumulated, fires, rules_of, silent

HOUR = 60
"""Samples, at one a minute."""
A, B = 'job="ragwatch",instance="a"', 'job="ragwatch",instance="b"'


def minutes(value: float, count: int) -> list[float | None]:
    return [value] * count


def away(count: int) -> list[float | None]:
    return [None] * count


def test_one_agent_that_is_down_is_named_while_another_lives(tmp_path: Path) -> None:
    series = {
        f"up{{{A}}}": minutes(1, 60) + minutes(0, 60),
        f"up{{{B}}}": minutes(1, 120),
        'up{job="agent-up",instance="c"}': minutes(1, 60) + minutes(0, 60),
        'up{job="grafana",instance="g"}': minutes(0, 120),
        f"ragwatch_build_info{{{A}}}": minutes(1, 60) + away(60),
        f"ragwatch_build_info{{{B}}}": minutes(1, 120),
    }
    looks = [
        silent("RagwatchDown", 59 * 60),
        fires("RagwatchDown", 65 * 60, instance="a"),
        fires("RagwatchDown", 65 * 60, instance="c"),
        fires("RagwatchDown", 119 * 60, instance="a"),
        silent("RagwatchDown", 119 * 60, instance="b"),
        silent("RagwatchDown", 119 * 60, instance="g"),
        Look('ALERTS{alertname="RagwatchDown",instance=""}', 119 * 60, False),
    ]
    check(tmp_path, rules_of("RagwatchDown"), series, looks)


def test_where_nobody_is_scraped_it_is_said_once(tmp_path: Path) -> None:
    looks = [fires("RagwatchDown", 600), Look('count(ALERTS{alertname="RagwatchDown"}) > 1', 600, False)]
    check(tmp_path, rules_of("RagwatchDown"), {'up{job="grafana"}': minutes(1, 20)}, looks)


def test_an_agent_that_is_no_target_any_more_is_named_and_one_that_was_replaced_is_not(tmp_path: Path) -> None:
    series = {
        f"up{{{A}}}": minutes(1, 90) + away(200),
        f"up{{{B}}}": minutes(1, 290),
        'up{job="agent-up",instance="old"}': minutes(1, 90) + away(200),
        'up{job="agent-up",instance="new"}': away(90) + minutes(1, 200),
    }
    looks = [
        silent("RagwatchGone", 89 * 60),
        fires("RagwatchGone", 110 * 60, instance="a"),
        silent("RagwatchGone", 110 * 60, job="agent-up"),
        silent("RagwatchGone", 170 * 60),
    ]
    check(tmp_path, rules_of("RagwatchGone"), series, looks)
    only = {f"up{{{A}}}": minutes(1, 90) + away(200)}
    check(tmp_path, rules_of("RagwatchGone"), only, [fires("RagwatchGone", 110 * 60, instance="a")])


def test_a_service_that_is_not_seen_any_more_is_named_with_who_saw_it(tmp_path: Path) -> None:
    def seen(service: str, target: str) -> str:
        return f'rag_query_duration_seconds_count{{service="{service}",environment="prod",outcome="ok",{target}}}'

    series = {
        seen("shop", A): minutes(5, 90) + away(60),
        seen("bot", A): minutes(5, 90) + away(60),
        seen("bot", B): minutes(5, 150),
        seen("new", B): away(90) + minutes(5, 60),
    }
    looks = [
        silent("RagServiceGone", 89 * 60),
        fires("RagServiceGone", 110 * 60, service="shop", instance="a"),
        silent("RagServiceGone", 110 * 60, service="bot"),
        silent("RagServiceGone", 110 * 60, service="new"),
    ]
    check(tmp_path, rules_of("RagServiceGone"), series, looks)


def test_old_losses_are_not_new_after_a_gap_and_the_first_loss_is(tmp_path: Path) -> None:
    """The agent was away for an hour, longer than any window; then a reason that nobody had seen before."""

    def gap(before: float, after: float) -> list[float | None]:
        return [*minutes(before, 60), *away(60), *minutes(after, 120)]

    new: list[float | None] = [*away(180), *minutes(30, 60)]
    lost = 'service="bot",environment="prod",signal="traces"'
    series = {
        f"up{{{A}}}": [*minutes(1, 60), *minutes(0, 60), *minutes(1, 120)],
        f"ragwatch_build_info{{{A}}}": gap(1, 1),
        f'ragwatch_sdk_lost_total{{{lost},reason="queue_full",{A}}}': gap(7, 7),
        f'ragwatch_sdk_lost_total{{{lost},reason="odd",{A}}}': new,
        f'ragwatch_agent_dead_letters_total{{reason="decode",{A}}}': gap(7, 7),
        f'ragwatch_agent_dead_letters_total{{reason="forward_refused",{A}}}': new,
        f'ragwatch_agent_refused_total{{transport="http",reason="disk",{A}}}': gap(7, 7),
        f'ragwatch_agent_refused_total{{transport="http",reason="inbox_full",{A}}}': new,
    }
    alerts = ("RagTelemetryLost", "RagwatchDeadLetters", "RagwatchRefuses")
    looks = [silent(alert, minute * 60) for alert in alerts for minute in (59, 121, 125, 130, 140, 150, 179)]
    looks += [
        fires("RagTelemetryLost", 182 * 60, service="bot", reason="odd"),
        fires("RagwatchDeadLetters", 182 * 60, instance="a", reason="forward_refused"),
        fires("RagwatchRefuses", 182 * 60, instance="a", reason="inbox_full"),
        *(silent(alert, 210 * 60) for alert in ("RagTelemetryLost", "RagwatchRefuses")),
        fires("RagwatchDeadLetters", 210 * 60, reason="forward_refused"),
        silent("RagwatchDeadLetters", 210 * 60, reason="decode"),
    ]
    check(tmp_path, rules_of(*alerts), series, looks)


def test_a_few_losses_and_few_of_many_are_no_alert(tmp_path: Path) -> None:
    """Fewer than twenty items; and thirty where ten thousand steps were recorded in the same time."""

    def lost(service: str) -> str:
        return (
            f'ragwatch_sdk_lost_total{{service="{service}",environment="prod",signal="traces",reason="queue_full",{A}}}'
        )

    def recorded(service: str) -> str:
        return f'rag_step_calls_total{{service="{service}",environment="prod",step="retrieve",outcome="ok",{A}}}'

    amounts = {"few": (1.5, 0), "many": (6, 0), "few of many": (6, 1000), "many of many": (20, 1000)}
    series: dict[str, list[float | None]] = {}
    for service, (gone, steps) in amounts.items():
        series[lost(service)] = [*cumulated([0] * 60 + [gone] * 30)]
        series[recorded(service)] = [*cumulated([steps] * 90)]
    looks = [silent("RagTelemetryLost", 59 * 60)]
    looks += [silent("RagTelemetryLost", minute * 60, service="few") for minute in (62, 70, 89)]
    looks += [silent("RagTelemetryLost", minute * 60, service="few of many") for minute in (62, 70, 89)]
    looks += [fires("RagTelemetryLost", 80 * 60, service=service) for service in ("many", "many of many")]
    check(tmp_path, rules_of("RagTelemetryLost"), series, looks)


def test_a_scrape_or_two_that_fail_and_single_requests_are_no_alert(tmp_path: Path) -> None:
    series = {
        f"up{{{A}}}": [*minutes(1, 60), *minutes(0, 2), *minutes(1, 60)],
        f"ragwatch_build_info{{{A}}}": minutes(1, 122),
        'up{job="collector",instance="c"}': [*minutes(1, 60), *minutes(0, 2), *minutes(1, 60)],
        f'ragwatch_agent_refused_total{{transport="http",reason="disk",{A}}}': [*minutes(0, 60), *minutes(4, 62)],
        f'ragwatch_agent_dead_letters_total{{reason="decode",{A}}}': [*minutes(0, 60), *minutes(2, 62)],
        f'ragwatch_agent_lag{{consumer="forward",{A}}}': [*minutes(0, 60), *minutes(4, 62)],
        'otelcol_exporter_send_failed_spans{exporter="otlp/tempo",job="collector",instance="c"}': [
            *minutes(0, 60), *minutes(9, 62)],
    }  # fmt: skip
    alerts = ("RagwatchDown", "RagCollectorDown", "RagwatchRefuses", "RagwatchDeadLetters", "RagwatchForwardStuck")
    alerts += ("RagCollectorExportFails",)
    looks = [silent(alert, minute * 60) for alert in alerts for minute in (60, 61, 62, 63, 65, 70, 75, 90)]
    check(tmp_path, rules_of(*alerts), series, looks)


def test_what_is_away_is_said_with_numbers(tmp_path: Path) -> None:
    """How many scrapes were answered of late, how many agents are left, how many queries a service had."""
    count = 'rag_query_duration_seconds_count{service="shop",environment="prod",outcome="ok",'
    series = {
        f"up{{{A}}}": minutes(1, 90) + minutes(0, 60),
        f"up{{{B}}}": minutes(1, 150),
        'up{job="agent-up",instance="c"}': minutes(1, 90) + away(60),
        'up{job="agent-up",instance="d"}': minutes(1, 150),
        f"{count}{A}}}": [*cumulated([5] * 90), *away(60)],
        'up{job="collector",instance="c"}': minutes(1, 90) + away(60),
    }
    shop = {"service": "shop", "environment": "prod", "job": "ragwatch", "instance": "a"}
    looks = [
        Says("RagwatchDown", 94 * 60, {"job": "ragwatch", "instance": "a"},
             "The agent a answered 1 scrape(s) in the last 5m and none now: the KPIs of its services stand still"),
        Says("RagwatchDown", 110 * 60, {"job": "ragwatch", "instance": "a"},
             "The agent a answered 0 scrape(s) in the last 5m and none now: the KPIs of its services stand still"),
        Says("RagwatchGone", 110 * 60, {"job": "agent-up", "instance": "c"},
             "The agent c was a target of agent-up an hour ago, is none now, and no other came: 1 are left"),
        Says("RagServiceGone", 140 * 60, shop,
             "shop had 300 queries in the hour until an hour ago, as a saw it, and is not seen now: nobody watches it"),
        Says("RagCollectorDown", 110 * 60, {"job": "collector", "instance": "c"},
             "The collector c answered 0 scrape(s) in the last 5m and none now: agents keep what they have on disk"),
    ]  # fmt: skip
    alerts = ("RagwatchDown", "RagwatchGone", "RagServiceGone", "RagCollectorDown")
    check(tmp_path, rules_of(*alerts), series, looks)
    nobody = "0 agents of ragwatch are scraped: there are no KPIs, and none of the other alerts can fire"
    only = {'up{job="grafana"}': minutes(1, 20)}
    check(tmp_path, rules_of("RagwatchDown"), only, [Says("RagwatchDown", 600, {}, nobody)])


def test_an_sdk_that_reports_without_an_agent_has_its_first_loss_too(tmp_path: Path) -> None:
    lost = 'service="bot",environment="prod",signal="traces",job="bot",instance="1"'
    series = {
        f'ragwatch_sdk_lost_total{{{lost},reason="queue_full"}}': minutes(0, 90),
        f'ragwatch_sdk_lost_total{{{lost},reason="odd"}}': [*away(60), *minutes(30, 30)],
    }
    looks = [silent("RagTelemetryLost", 59 * 60), fires("RagTelemetryLost", 62 * 60, reason="odd")]
    check(tmp_path, rules_of("RagTelemetryLost"), series, looks)


def test_a_collector_that_was_away_has_lost_nothing_new(tmp_path: Path) -> None:
    here = 'job="collector",instance="c"'
    alerts = {
        "RagCollectorExportFails": 'otelcol_exporter_send_failed_spans{exporter="otlp/tempo",%s}',
        "RagCollectorQueueFull": 'otelcol_exporter_enqueue_failed_log_records{exporter="otlphttp/loki",%s}',
        "RagCollectorMemory": 'otelcol_processor_memory_limiter_refused_spans{processor="memory_limiter",%s}',
    }
    series: dict[str, list[float | None]] = {f"up{{{here}}}": [*minutes(1, 60), *minutes(0, 60), *minutes(1, 120)]}
    for number, name in enumerate(alerts.values()):
        series[name % here] = [*minutes(7, 60), *away(60), *minutes(7, 120)]
        series[name.replace("{", f'{{other="{number}",') % here] = [*away(180), *minutes(10, 60)]
    looks = [silent(alert, minute * 60) for alert in alerts for minute in (59, 121, 125, 134, 140, 179)]
    looks += [fires(alert, 182 * 60) for alert in alerts]
    check(tmp_path, rules_of(*alerts), series, looks)


def test_an_upstream_that_takes_nothing_or_too_little_is_named(tmp_path: Path) -> None:
    def lag(target: str) -> str:
        return f'ragwatch_agent_lag{{consumer="forward",{target}}}'

    def delivered(target: str) -> str:
        return f'ragwatch_agent_forwarded_total{{upstream="t:4318",result="delivered",{target}}}'

    growing: list[float | None] = [30.0 + max(0, 60 * (minute - 60)) for minute in range(120)]
    series = {
        lag(A): [*minutes(0, 60), *(float(4 * minute) for minute in range(60))],
        delivered(A): [*cumulated([60] * 60), *minutes(3600, 60)],
        lag(B): growing,
        delivered(B): cumulated([60] * 120),
        lag('instance="busy",job="ragwatch"'): minutes(40, 120),
        delivered('instance="busy",job="ragwatch"'): cumulated([60] * 120),
        lag('instance="idle",job="ragwatch"'): minutes(0, 120),
        delivered('instance="idle",job="ragwatch"'): minutes(5, 120),
    }
    looks = [
        silent("RagwatchForwardStuck", 59 * 60),
        fires("RagwatchForwardStuck", 75 * 60, instance="a"),
        fires("RagwatchForwardStuck", 90 * 60, instance="b"),
        *(silent("RagwatchForwardStuck", 119 * 60, instance=name) for name in ("busy", "idle")),
    ]
    check(tmp_path, rules_of("RagwatchForwardStuck"), series, looks)


def test_two_agents_are_not_one_that_comes_twice(tmp_path: Path) -> None:
    series = {
        f'ragwatch_build_info{{agent="1",{A}}}': minutes(1, 60),
        'ragwatch_build_info{agent="2",job="other",instance="b"}': minutes(1, 60),
        'ragwatch_build_info{job="ragwatch",instance="without an upstream"}': minutes(1, 60),
        'ragwatch_build_info{job="ragwatch",instance="another without"}': minutes(1, 60),
    }
    for target in (A, 'job="other",instance="b"'):
        series[f'rag_query_duration_seconds_count{{service="bot",environment="prod",{target}}}'] = minutes(1, 60)
    check(tmp_path, rules_of("RagKpisTwice"), series, [silent("RagKpisTwice", 59 * 60)])
    series['ragwatch_build_info{agent="2",job="ragwatch-agent",instance="2"}'] = minutes(1, 60)
    looks = [fires("RagKpisTwice", 59 * 60, agent="2"), silent("RagKpisTwice", 59 * 60, agent="1")]
    check(tmp_path, rules_of("RagKpisTwice"), series, looks)
