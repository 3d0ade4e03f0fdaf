"""Halts found in the seconds in which anything traded, and the index against the circuit-breaker table."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from state.market_alerts import MarketAlert, MarketAlerts

if TYPE_CHECKING:
    from state.rules import MarketRules

TUESDAY, FRIDAY = date(2024, 7, 2), date(2024, 7, 5)


class Market:
    """A market's alerts on one day; moments are given in seconds since 11:00."""

    def __init__(self, rules: MarketRules, day: date) -> None:
        self.alerts = MarketAlerts(rules)
        self.day = rules.on(day)
        self.open = self.day.open // 1000

    def trades(self, *seconds: int) -> list[tuple[str, int | None, int | None]]:
        for second in seconds:
            self.alerts.traded(self.open + second, self.day)
        return self.said()

    def silent(self, second: int) -> list[tuple[str, int | None, int | None]]:
        self.alerts.silent(self.open + second, self.day)
        return self.said()

    def index(self, second: int, move: float, *, is_proxy: bool = False) -> list[MarketAlert]:
        self.alerts.index(self.open + second, move, self.day, is_proxy=is_proxy)
        return self.alerts.take()

    def said(self) -> list[tuple[str, int | None, int | None]]:
        return [(one.rule, self.since_open(one.start), self.since_open(one.end)) for one in self.alerts.take()]

    def since_open(self, moment: int | None) -> int | None:
        return None if moment is None else moment // 1000 - self.open


@pytest.fixture
def market(rules: MarketRules) -> Market:
    return Market(rules, TUESDAY)


def test_a_silence_of_less_than_a_minute_is_no_halt(market: Market) -> None:
    assert market.trades(0, 59, 118) == []


def test_a_silence_of_a_minute_is_a_halt_from_the_last_trade_to_the_next(market: Market) -> None:
    assert market.trades(0, 30, 90) == [("trading_halt", 30, None), ("trading_resumed", 30, 90)]
    assert market.trades(91) == []


def test_an_alert_speaks_of_the_moment_it_names_and_measures_in_seconds(market: Market) -> None:
    market.alerts.traded(market.open, market.day)
    market.alerts.traded(market.open + 150, market.day)
    halt, resumed = market.alerts.take()
    assert (halt.event_time, halt.threshold) == (market.open * 1000, 60)
    assert (resumed.event_time, resumed.threshold, resumed.value) == ((market.open + 150) * 1000, 60, 150.0)
    assert resumed.message == "trading goes on after 2.5 minutes"


@pytest.mark.parametrize(("length", "move"), [(1195, 0.04), (1200, 0.04), (1205, 0.04), (2395, 0.05), (2405, 0.05)])
def test_a_halt_of_a_breakers_length_is_that_breakers(market: Market, length: int, move: float) -> None:
    market.alerts.traded(market.open + 80, market.day)
    market.alerts.traded(market.open + 80 + length, market.day)
    halt = market.alerts.take()[-1]
    assert (halt.rule, halt.threshold) == ("index_halt", move)
    assert (market.since_open(halt.start), market.since_open(halt.end)) == (80, 80 + length)


@pytest.mark.parametrize("length", [600, 1194, 1206, 1800, 2394, 2406])
def test_a_halt_of_another_length_is_no_breakers(market: Market, length: int) -> None:
    assert [rule for rule, _, _ in market.trades(80, 80 + length)] == ["trading_halt", "trading_resumed"]


def test_two_breakers_of_one_length_are_one_halt(rules: MarketRules) -> None:
    steps = rules.index_breakers[0].steps
    alike = [steps[0], steps[1].model_copy(update={"halt_minutes": 20})]
    table = rules.index_breakers[0].model_copy(update={"steps": alike})
    market = Market(rules.model_copy(update={"index_breakers": [table]}), TUESDAY)
    assert [rule for rule, _, _ in market.trades(0, 1200)] == ["trading_halt", "trading_resumed", "index_halt"]


def test_two_halts_one_after_the_other_are_told_apart(market: Market) -> None:
    assert market.trades(80, 1280, 1299, 3699) == [
        ("trading_halt", 80, None),
        ("trading_resumed", 80, 1280),
        ("index_halt", 80, 1280),
        ("trading_halt", 1299, None),
        ("trading_resumed", 1299, 3699),
        ("index_halt", 1299, 3699),
    ]


def test_the_silence_between_the_auction_and_the_open_is_no_halt(market: Market) -> None:
    assert market.trades(-900, -840, 0, 1) == []


def test_the_silence_after_the_close_is_no_halt(market: Market) -> None:
    assert market.trades(4 * 3600 - 30, 4 * 3600 + 300) == []
    assert market.trades(4 * 3600 + 600, 4 * 3600 + 1200) == []


def test_a_halt_that_lasts_until_the_closing_prints_is_found(market: Market) -> None:
    assert market.trades(3 * 3600, 4 * 3600)[0] == ("trading_halt", 3 * 3600, None)


def test_a_silence_over_the_night_is_no_halt(market: Market, rules: MarketRules) -> None:
    market.trades(4 * 3600 - 1)
    market.alerts.start_day()
    market.alerts.traded(market.open + 86_400, rules.on(date(2024, 7, 3)))
    assert market.said() == []


def test_on_a_day_without_a_session_there_is_no_halt(rules: MarketRules) -> None:
    market = Market(rules, FRIDAY)
    assert market.trades(0, 600, 1800) == []
    assert market.index(600, 0.09) == []


def test_a_day_before_its_first_trade_is_not_halted(market: Market) -> None:
    assert market.silent(3600) == []
    assert market.trades(3601) == []


def test_a_silence_that_the_clock_reports_is_a_halt_before_trading_goes_on_and_only_once(market: Market) -> None:
    market.trades(0)
    assert market.silent(59) == []
    assert market.silent(60) == [("trading_halt", 0, None)]
    assert market.silent(61) == []
    assert market.trades(1200) == [("trading_resumed", 0, 1200), ("index_halt", 0, 1200)]


def test_a_second_that_comes_behind_a_newer_one_ends_no_halt(market: Market) -> None:
    market.trades(0, 100)
    assert market.trades(50) == []
    assert market.trades(159) == []


@pytest.mark.parametrize("move", [0.04, -0.04, 0.041])
def test_an_index_that_moves_4_per_cent_either_way_before_noon_halts_20_minutes(market: Market, move: float) -> None:
    assert market.index(80, 0.0399) == []
    (alert,) = market.index(81, move)
    assert (alert.rule, alert.threshold, alert.value) == ("index_halt", 0.04, move)
    assert (alert.event_time, alert.start, alert.end) == ((market.open + 81) * 1000, None, None)
    assert alert.message == f"the index has moved {move:+.2%}: the 4% breaker halts for 20 minutes"


def test_an_alert_says_when_it_speaks_of_the_proxy_and_not_of_the_index(market: Market) -> None:
    (alert,) = market.index(81, 0.05, is_proxy=True)
    assert "turnover-weighted proxy of the index" in alert.message


def test_a_breaker_speaks_once_a_day(market: Market, rules: MarketRules) -> None:
    assert [len(market.index(second, 0.041)) for second in (1, 2, 3)] == [1, 0, 0]
    assert market.index(4, 0.01) == []
    assert market.index(5, 0.041) == []
    market.alerts.start_day()
    market.day = rules.on(date(2024, 7, 3))
    market.open = market.day.open // 1000
    assert len(market.index(1, 0.041)) == 1


def test_the_steps_follow_one_another(market: Market) -> None:
    moves = [(1, 0.045), (2, 0.049), (3, 0.05), (4, 0.06), (5, 0.07)]
    assert [[one.threshold for one in market.index(*move)] for move in moves] == [[0.04], [], [0.05], [0.06], []]


def test_an_index_that_leaps_over_several_steps_has_the_strongest_one_only(market: Market) -> None:
    (alert,) = market.index(1, -0.065)
    assert alert.threshold == 0.06
    assert alert.message.endswith("the 6% breaker halts for the rest of the day")
    assert market.index(2, -0.065) == []


@pytest.mark.parametrize(
    ("second", "move", "threshold"),
    [
        (3599, 0.045, 0.04), (3600, 0.045, None), (7199, 0.055, 0.05), (7200, 0.055, None), (14_399, 0.06, 0.06),
        (-1, 0.09, None), (0, 0.045, 0.04), (14_400, 0.09, None),
    ],
)  # fmt: skip
def test_a_step_holds_until_its_time_of_day_and_within_the_session_only(
    market: Market, second: int, move: float, threshold: float | None
) -> None:
    assert [alert.threshold for alert in market.index(second, move)] == ([threshold] if threshold else [])


def test_alerts_taken_out_of_their_dump_go_on_in_the_midst_of_a_halt(market: Market, rules: MarketRules) -> None:
    market.trades(0)
    market.silent(60)
    market.index(60, 0.04)
    restored = Market(rules, TUESDAY)
    restored.alerts.load(market.alerts.dump())
    assert restored.silent(70) == []
    assert restored.index(71, 0.041) == []
    assert restored.trades(1200) == [("trading_resumed", 0, 1200), ("index_halt", 0, 1200)]
