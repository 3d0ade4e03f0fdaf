from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from state.market_fold import MarketFold
from state.market_state import MarketState, SymbolSecond, group_of, parse_second
from state.rules import TradingCalendar

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.rules import MarketRules


@pytest.fixture
def market(rules: MarketRules) -> MarketState:
    return MarketState(rules, TradingCalendar(rules))


@pytest.fixture
def fold(rules: MarketRules) -> MarketFold:
    return MarketFold(rules, TradingCalendar(rules), lead_s=3)


@pytest.fixture
def start(opening: Callable[[date], int]) -> int:
    """The second in which Tuesday's session begins."""
    return opening(date(2024, 7, 2)) // 1000


@pytest.fixture
def next_start(opening: Callable[[date], int]) -> int:
    """The second in which Wednesday's session begins."""
    return opening(date(2024, 7, 3)) // 1000


def traded(symbol: str, price: float, turnover: float = 1_000.0) -> SymbolSecond:
    return SymbolSecond(symbol, price, turnover, 1, -1)


def test_a_market_in_which_nothing_traded_has_a_snapshot_of_zeros(market: MarketState, start: int) -> None:
    market.begin(start)
    snapshot = market.snapshot()
    assert (snapshot.advancing, snapshot.declining, snapshot.trades, snapshot.turnover) == (0, 0, 0, 0.0)
    assert not snapshot.block.any()


def test_a_symbol_new_within_the_span_neither_advances_nor_declines(market: MarketState, start: int) -> None:
    market.add(start, [traded("NABIL", 500.0)])
    market.add(start + 10, [traded("NABIL", 510.0)])
    snapshot = market.snapshot()
    assert (snapshot.advancing, snapshot.declining, snapshot.returns) == (0, 0, (0.0, 0.0, 0.0))


def test_the_feeds_own_index_is_used_against_its_first_value_and_is_no_trade(market: MarketState, start: int) -> None:
    market.add(start, [traded("NEPSE", 2_000.0), traded("NABIL", 500.0)])
    market.add(start + 1, [traded("NEPSE", 2_050.0), traded("NABIL", 500.0)])
    snapshot = market.snapshot()
    assert snapshot.index_return == pytest.approx(0.025)
    assert not snapshot.index_is_proxy
    assert (snapshot.trades, snapshot.turnover) == (2, 2_000.0)


def test_the_index_of_a_new_day_is_held_against_its_last_value_of_the_day_before(
    market: MarketState, start: int, next_start: int
) -> None:
    market.add(start, [traded("NEPSE", 2_000.0)])
    market.add(start + 60, [traded("NEPSE", 2_100.0)])
    market.add(next_start, [traded("NEPSE", 2_142.0)])
    assert market.snapshot().index_return == pytest.approx(0.02)
    market.add(next_start + 1, [traded("NEPSE", 2_079.0)])
    assert market.snapshot().index_return == pytest.approx(-0.01)


def test_an_index_that_goes_on_during_a_halt_does_not_hide_it(market: MarketState, start: int) -> None:
    market.add(start, [traded("NABIL", 500.0), traded("NEPSE", 2_000.0)])
    for second in range(5, 1200, 5):
        market.add(start + second, [traded("NEPSE", 2_000.0)])
    market.add(start + 1200, [traded("NABIL", 500.0)])
    assert [alert.rule for alert in market.take_alerts()] == ["trading_halt", "trading_resumed", "index_halt"]


def test_an_index_that_passes_a_breaker_is_an_alert_of_that_second(market: MarketState, start: int) -> None:
    for second, price in enumerate((2_000.0, 2_079.0, 2_081.0, 2_085.0)):
        market.add(start + second, [traded("NEPSE", price)])
        market.snapshot()
    (alert,) = market.take_alerts()
    assert (alert.rule, alert.event_time, alert.threshold) == ("index_halt", (start + 2) * 1000, 0.04)


def test_more_than_512_symbols_have_a_place_before_and_after_a_dump(
    market: MarketState, rules: MarketRules, start: int
) -> None:
    count = 1_300
    market.add(start, [traded(f"S{number}", 100.0) for number in range(count // 2)])
    market.add(start + 1, [traded(f"S{number}", 100.0) for number in range(count)])
    restored = MarketState(rules, TradingCalendar(rules))
    restored.load(market.dump())
    for each in (market, restored):
        each.add(start + 60, [traded(f"S{number}", 101.0 if number % 2 else 99.5) for number in range(count)])
        each.add(start + 61, [traded("NEW", 100.0)])
        snapshot = each.snapshot()
        assert (snapshot.advancing, snapshot.declining) == (count // 2, count // 2)
        assert snapshot.turnover == pytest.approx(1_000.0 * (count + 1))
    assert market.snapshot().block.tobytes() == restored.snapshot().block.tobytes()


def test_a_day_begins_its_snapshots_the_lead_before_its_first_second(fold: MarketFold, start: int) -> None:
    snapshots = fold.take(start + 100, "NABIL:500:1000:1:")
    assert [snapshot.second - start for snapshot in snapshots] == [96, 97, 98, 99, 100]


def test_silent_seconds_have_snapshots_too(fold: MarketFold, start: int) -> None:
    fold.take(start, "NABIL:500:1000:1:")
    assert [one.second - start for one in fold.take(start + 4, "NABIL:500:1000:1:")] == [1, 2, 3, 4]


def test_the_night_has_no_snapshots(fold: MarketFold, start: int, next_start: int) -> None:
    fold.take(start, "NABIL:500:1000:1:")
    assert [one.second - next_start for one in fold.take(next_start, "NABIL:500:1000:1:")] == [-4, -3, -2, -1, 0]


def test_a_market_that_trades_around_midnight_gives_no_second_twice(fold: MarketFold, start: int) -> None:
    midnight = start + 13 * 3600
    seconds = [one.second for second in (-3, 2, 3) for one in fold.take(midnight + second, "NABIL:500:1000:1:")]
    assert seconds == sorted(set(seconds))
    assert seconds[-6:] == [midnight + second for second in (-2, -1, 0, 1, 2, 3)]


def test_a_second_that_comes_after_its_snapshot_joins_the_present_one(fold: MarketFold, start: int) -> None:
    fold.take(start, "NABIL:500:1000:1:")
    assert [one.second for one in fold.give(start + 70)][-1] == start + 70
    assert fold.take(start + 65, "NABIL:510:3000:2:") == []
    (snapshot,) = fold.take(start + 71, "UPPER:200:500:1:")
    assert (snapshot.trades, snapshot.turnover, snapshot.advancing) == (3, 3_500.0, 1)


def test_seconds_that_passed_in_silence_have_their_snapshots_once(fold: MarketFold, start: int) -> None:
    fold.take(start, "NABIL:500:1000:1:")
    assert [one.second - start for one in fold.give(start + 5)] == [1, 2, 3, 4, 5]
    assert fold.give(start + 5) == []


def test_a_symbol_that_stands_twice_in_one_second_is_a_fault() -> None:
    with pytest.raises(ValueError, match="a symbol stands twice"):
        parse_second("NABIL:500:1:1:;UPPER:200:1:1:;NABIL:501:1:1:", slice(8, 10))


@pytest.mark.parametrize(
    ("trade_id", "group"),
    [("2024070203000001", 3), ("2024070215000001", 15), ("123456789", 9), ("12345678", -1), ("", -1), (None, -1),
     ("20240702x1", -1), ("20240702१२", -1)],
)  # fmt: skip
def test_the_contract_group_stands_in_the_trade_id(trade_id: str | None, group: int) -> None:
    assert group_of(trade_id, slice(8, 10)) == group
