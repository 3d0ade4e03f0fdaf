"""Which snapshots and market alerts must be there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from console.golden_market import (
    Silence,
    certain_silences,
    halt_alerts,
    index_alerts,
    market_seconds,
    told_silences,
)
from jobs.settings import Settings
from state.rules import MarketRules, load_rules


def at(clock: str, day: str = "02") -> int:
    return int(datetime.fromisoformat(f"2024-07-{day}T{clock}+05:45").timestamp())


NOON, CLOSE = at("12:00:00"), at("15:00:00")


@pytest.fixture(scope="module")
def rules() -> MarketRules:
    return load_rules(Settings().market.rules_file)


def snapshots(trades: dict[int, int], index: float = 0.0) -> dict[int, dict[str, Any]]:
    return {
        second * 1000: {
            "market_time": second * 1000,
            "trades_60s": count,
            "index_return": index,
            "index_is_proxy": True,
        }
        for second, count in trades.items()
    }


def test_a_day_needs_every_second_from_its_first_snapshot_to_the_last_that_a_tick_asks_for(
    rules: MarketRules,
) -> None:
    assert market_seconds({NOON + 5}, {NOON, NOON + 1, NOON + 3}, rules) == set(range(NOON, NOON + 6))


def test_the_night_between_two_days_needs_none(rules: MarketRules) -> None:
    tomorrow = at("11:00:00", "03")
    assert market_seconds(set(), {CLOSE, tomorrow, tomorrow + 2}, rules) == {
        CLOSE, tomorrow, tomorrow + 1, tomorrow + 2,
    }  # fmt: skip


def test_a_day_without_any_snapshot_needs_those_that_its_ticks_ask_for(rules: MarketRules) -> None:
    tomorrow = at("11:00:00", "03")
    assert market_seconds({tomorrow, tomorrow + 9}, {NOON}, rules) == {NOON, tomorrow, tomorrow + 9}


def test_a_silence_of_the_whole_limit_in_session_is_certain_and_a_shorter_one_is_not(rules: MarketRules) -> None:
    assert certain_silences([NOON, NOON + 60], rules) == [(NOON, NOON + 60)]
    assert certain_silences([NOON, NOON + 59], rules) == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (at("10:46:00"), at("11:00:00")),
        (CLOSE - 30, CLOSE + 90),
        (CLOSE, at("11:00:00", "03")),
        (at("12:00:00", "05"), at("12:05:00", "05")),
    ],
    ids=["before the session", "over the close", "over night", "on a Friday"],
)
def test_silence_when_the_market_is_closed_is_no_halt(start: int, end: int, rules: MarketRules) -> None:
    assert certain_silences([start, end], rules) == []


def test_a_silence_has_its_halt_its_end_and_the_breaker_of_its_length(rules: MarketRules) -> None:
    alerts = halt_alerts(Silence(NOON, NOON + 1200), {}, rules)
    assert [one["rule"] for one in alerts] == ["trading_halt", "trading_resumed", "index_halt"]
    assert [one["rule"] for one in halt_alerts(Silence(NOON, NOON + 90), {}, rules)] == [
        "trading_halt", "trading_resumed",
    ]  # fmt: skip
    assert [one["rule"] for one in halt_alerts(Silence(NOON, None), {}, rules)] == ["trading_halt"]


def test_a_silence_in_which_a_snapshot_has_seen_trades_has_no_halt(rules: MarketRules) -> None:
    quiet = snapshots({NOON + second: 0 for second in range(60, 90)})
    assert len(halt_alerts(Silence(NOON, NOON + 90), quiet, rules)) == 2
    assert halt_alerts(Silence(NOON, NOON + 90), quiet | snapshots({NOON + 75: 1}), rules) == []
    assert halt_alerts(Silence(NOON, None), quiet | snapshots({NOON + 200: 4}), rules) == []


def test_silences_are_told_by_any_of_their_alerts(rules: MarketRules) -> None:
    long = halt_alerts(Silence(NOON, NOON + 1200), {}, rules)
    for alerts in (long, long[1:2], long[2:]):
        assert told_silences(alerts) == {Silence(NOON, NOON + 1200)}
    assert told_silences(long[:1]) == {Silence(NOON, None)}
    assert told_silences([{"rule": "breakout", "detail": {}}]) == set()


def test_each_step_of_the_index_is_announced_once_a_day(rules: MarketRules) -> None:
    morning, next_morning = at("11:30:00"), at("11:30:00", "03")
    moved = snapshots(dict.fromkeys([morning, morning + 1, next_morning], 1), index=-0.041)
    alerts = index_alerts(moved.values(), rules)
    assert [(one["rule"], one["threshold"], one["event_time"]) for one in alerts] == [
        ("index_halt", 0.04, morning * 1000),
        ("index_halt", 0.04, next_morning * 1000),
    ]
    assert index_alerts(snapshots({morning: 1}, index=0.039).values(), rules) == []
