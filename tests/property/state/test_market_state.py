"""The market's snapshots against plain loops over all seconds of the day."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from math import log1p
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.features import GROUP_FEATURES, GROUP_SPANS_S, MARKET_FEATURES, MARKET_SPANS_S
from state.market_fold import MarketFold
from state.market_state import MarketSnapshot, MarketState, SymbolSecond, block_length, market_columns, parse_second
from state.rules import MarketRules, TradingCalendar

if TYPE_CHECKING:
    from collections.abc import Callable

TUESDAY, WEDNESDAY = date(2024, 7, 2), date(2024, 7, 3)
SYMBOLS = ["AKPL", "NABIL", "NICA", "UPPER", "ZZ"]
GROUPS = 16

few = settings(max_examples=30)

Day = list[tuple[int, list[SymbolSecond]]]
"""Finished seconds, as (seconds since the one before, what the symbols did)."""


class Second(NamedTuple):
    number: int
    rows: list[SymbolSecond]


def symbol_seconds(symbol: str) -> st.SearchStrategy[SymbolSecond]:
    return st.builds(
        SymbolSecond,
        st.just(symbol),
        st.integers(4_980, 5_020).map(lambda tenths: tenths / 10),
        st.sampled_from([0.5, 1_000.0, 12_345.6, 5e7]),
        st.integers(1, 5),
        st.sampled_from([-1, 0, 3, 3, 15, 16, 99]),
    )


@st.composite
def days(draw: st.DrawFn, longest_gap: int = 400) -> Day:
    gap = st.sampled_from(
        [gap for gap in (1, 1, 2, 30, 59, 60, 61, 119, 120, 299, 300, 301, 400) if gap <= longest_gap]
    )
    rows = st.sets(st.sampled_from(SYMBOLS), min_size=1).flatmap(
        lambda symbols: st.tuples(*(symbol_seconds(symbol) for symbol in sorted(symbols))).map(list)
    )
    return draw(st.lists(st.tuples(gap, rows), min_size=1, max_size=12))


def at(opening: int, day: Day) -> list[Second]:
    second = opening // 1000
    seconds = []
    for gap, rows in day:
        second += gap
        seconds.append(Second(second, rows))
    return seconds


class NaiveMarket:
    """All of a day's rows, and what they say up to a second."""

    def __init__(self, seconds: list[Second], closes: dict[str, float], now: int) -> None:
        self.rows = [(second, row) for second, rows in seconds if second <= now for row in rows]
        self.closes = closes
        self.now = now

    def price(self, symbol: str, second: int) -> float | None:
        prices = [row.price for when, row in self.rows if row.symbol == symbol and when <= second]
        return prices[-1] if prices else None

    def returns(self, span: int) -> dict[str, tuple[float, float]]:
        """Symbol → (return, turnover) over a span, of those that traded in it and before it."""
        found = {}
        for symbol in {row.symbol for when, row in self.rows if when > self.now - span}:
            before, after = self.price(symbol, self.now - span), self.price(symbol, self.now)
            if before is not None and after is not None:
                turnover = sum(r.turnover for when, r in self.rows if r.symbol == symbol and when > self.now - span)
                found[symbol] = (after / before - 1, turnover)
        return found

    def group(self, symbol: str) -> int:
        groups = [row.group for _, row in self.rows if row.symbol == symbol and row.group >= 0]
        return groups[-1] if groups else -1

    def breadth(self, moves: list[float]) -> float:
        return (sum(move > 0 for move in moves) - sum(move < 0 for move in moves)) / (len(moves) or 1)

    def weighted(self, span: int) -> float:
        pairs = list(self.returns(span).values())
        total = sum(turnover for _, turnover in pairs)
        return sum(move * turnover for move, turnover in pairs) / total if total else 0.0

    def index_return(self) -> float:
        total = weighted = 0.0
        for symbol in {row.symbol for _, row in self.rows}:
            own = [row for _, row in self.rows if row.symbol == symbol]
            turnover = sum(row.turnover for row in own)
            total += turnover
            weighted += turnover * (own[-1].price / self.closes.get(symbol, own[0].price) - 1)
        return weighted / total if total else 0.0

    def totals(self) -> tuple[int, float]:
        recent = [row for when, row in self.rows if when > self.now - 60]
        return sum(row.trades for row in recent), sum(row.turnover for row in recent)

    def last_moves(self) -> float:
        """Symbols of the last minute by the direction of their last price change of the day, seconds taken whole."""
        active = {row.symbol for when, row in self.rows if when > self.now - 60}
        total = 0.0
        for symbol in active:
            prices = [row.price for _, row in self.rows if row.symbol == symbol]
            moves = [after - before for before, after in pairwise(prices) if after != before]
            total += np.sign(moves[-1]) if moves else 0
        return total / (len(active) or 1)

    def common(self) -> dict[str, float]:
        numbers = {}
        for span in MARKET_SPANS_S:
            moves = [move for move, _ in self.returns(span).values()]
            numbers[f"breadth_{span}s"] = self.breadth(moves)
            numbers[f"equal_return_{span}s"] = mean(moves)
            numbers[f"clipped_return_{span}s"] = mean([clipped(move) for move in moves])
            numbers[f"turnover_return_{span}s"] = self.weighted(span)
        trades, turnover = self.totals()
        active = {row.symbol for when, row in self.rows if when > self.now - 60}
        return numbers | {
            "last_moves": self.last_moves(),
            "dispersion_60s": mean([abs(clipped(move)) for move, _ in self.returns(60).values()]),
            "active_60s": len(active) / (len({row.symbol for _, row in self.rows}) or 1),
            "market_trades_10s": log1p(sum(row.trades for when, row in self.rows if when > self.now - 10)),
            "market_trades_60s": log1p(trades),
            "market_turnover_60s": log1p(turnover),
            "index_return": self.index_return(),
        }

    def of_group(self, group: int) -> dict[str, float]:
        numbers = {}
        for span in GROUP_SPANS_S:
            moves = [move for symbol, (move, _) in self.returns(span).items() if self.group(symbol) == group]
            numbers[f"group_breadth_{span}s"] = self.breadth(moves)
            numbers[f"group_return_{span}s"] = mean([clipped(move) for move in moves])
        return numbers


def mean(values: list[float]) -> float:
    return sum(values) / (len(values) or 1)


def clipped(move: float) -> float:
    return min(max(move, -0.003), 0.003)


def assert_same(snapshot: MarketSnapshot, naive: NaiveMarket) -> None:
    moves = [move for move, _ in naive.returns(60).values()]
    trades, turnover = naive.totals()
    assert snapshot.second == naive.now
    assert (snapshot.advancing, snapshot.declining) == (sum(m > 0 for m in moves), sum(m < 0 for m in moves))
    assert snapshot.trades == trades
    assert snapshot.turnover == pytest.approx(turnover, rel=1e-9, abs=1e-6)
    assert snapshot.returns == pytest.approx([naive.weighted(span) for span in (60, 120, 300)], rel=1e-9, abs=1e-12)
    assert snapshot.index_return == pytest.approx(naive.index_return(), rel=1e-9, abs=1e-12)
    assert snapshot.index_is_proxy
    assert snapshot.block.dtype == np.float32
    assert snapshot.block.shape == (block_length(GROUPS),)
    for group in (-1, 0, 3, 15, 16):
        expected = naive.common() | naive.of_group(group if group < GROUPS else -1)
        if not 0 <= group < GROUPS:
            expected |= dict.fromkeys((feature.name for feature in GROUP_FEATURES), np.nan)
        columns = np.frombuffer(snapshot.columns(group), np.float32)
        ordered = [expected[feature.name] for feature in MARKET_FEATURES]
        np.testing.assert_allclose(columns, ordered, rtol=2e-6, atol=1e-7)
        rows = market_columns(snapshot.block[np.newaxis], np.array([group]), GROUPS)
        assert rows.tobytes() == columns.tobytes()


def new_market(rules: MarketRules) -> MarketState:
    return MarketState(rules, TradingCalendar(rules))


def text_of(rows: list[SymbolSecond]) -> str:
    groups = ["" if row.group < 0 else f"20240702{row.group:02d}000001" for row in rows]
    return ";".join(
        f"{row.symbol}:{row.price}:{row.turnover}:{row.trades}:{group}" for row, group in zip(rows, groups, strict=True)
    )


def new_fold(rules: MarketRules, lead_s: int = 5) -> MarketFold:
    return MarketFold(rules, TradingCalendar(rules), lead_s)


def same_bits(one: list[MarketSnapshot], other: list[MarketSnapshot]) -> bool:
    return [(s.second, s.block.tobytes(), s.turnover, s.trades) for s in one] == [
        (s.second, s.block.tobytes(), s.turnover, s.trades) for s in other
    ]


@few
@given(days())
def test_a_snapshot_is_what_plain_loops_over_the_day_give(
    rules: MarketRules, opening: Callable[[date], int], day: Day
) -> None:
    seconds = at(opening(TUESDAY), day)
    market = new_market(rules)
    for second in seconds:
        market.add(*second)
        assert_same(market.snapshot(), NaiveMarket(seconds, {}, second.number))
    for silent in (1, 9, 60, 300, 600):
        market.begin(seconds[-1].number + silent)
        assert_same(market.snapshot(), NaiveMarket(seconds, {}, seconds[-1].number + silent))


@few
@given(days(), days())
def test_a_new_day_knows_the_last_prices_of_the_day_before_and_nothing_else(
    rules: MarketRules,
    opening: Callable[[date], int],
    day: Day,
    next_day: Day,
) -> None:
    market = new_market(rules)
    for second in at(opening(TUESDAY), day):
        market.add(*second)
    closes = {row.symbol: row.price for _, rows in day for row in rows}
    seconds = at(opening(WEDNESDAY), next_day)
    for second in seconds:
        market.add(*second)
        assert_same(market.snapshot(), NaiveMarket(seconds, closes, second.number))


@few
@given(days(longest_gap=60), st.integers(0, 12))
def test_a_market_taken_out_of_its_dump_goes_on_bit_for_bit(
    rules: MarketRules, opening: Callable[[date], int], day: Day, cut: int
) -> None:
    seconds = at(opening(TUESDAY), day)
    original, restored = new_fold(rules), new_fold(rules)
    for second in seconds[:cut]:
        original.take(second.number, text_of(second.rows))
    original.take_alerts()
    restored.load(original.dump())
    assert restored.emitted == original.emitted
    for second in [*seconds[cut:], *at(opening(WEDNESDAY), day)]:
        one, other = (fold.take(second.number, text_of(second.rows)) for fold in (original, restored))
        assert same_bits(one, other)
    assert restored.take_alerts() == original.take_alerts()


@few
@given(days(longest_gap=60), st.data())
def test_the_order_of_the_rows_within_a_second_changes_nothing(
    rules: MarketRules,
    opening: Callable[[date], int],
    day: Day,
    data: st.DataObject,
) -> None:
    one, other = new_fold(rules), new_fold(rules)
    for second in at(opening(TUESDAY), day):
        shuffled = data.draw(st.permutations(second.rows))
        snapshots = one.take(second.number, text_of(second.rows))
        assert same_bits(snapshots, other.take(second.number, text_of(shuffled)))


@few
@given(days(longest_gap=60), st.lists(st.booleans(), min_size=12, max_size=12))
def test_every_second_has_exactly_one_snapshot_whether_it_is_finished_or_given_away(
    rules: MarketRules,
    opening: Callable[[date], int],
    day: Day,
    given_away: list[bool],
) -> None:
    seconds = at(opening(TUESDAY), day)
    fold = new_fold(rules, lead_s=7)
    numbers = []
    for second, is_given in zip(seconds, given_away, strict=False):
        if is_given:
            numbers += [snapshot.second for snapshot in fold.give(second.number)]
        numbers += [snapshot.second for snapshot in fold.take(second.number, text_of(second.rows))]
    first = seconds[0].number - (7 if given_away[0] else 8)
    assert numbers == list(range(first, seconds[-1].number + 1))


@given(days(longest_gap=60))
def test_a_seconds_text_is_read_back_in_the_order_of_the_symbols(day: Day) -> None:
    for _, rows in day:
        assert parse_second(text_of(list(reversed(rows))), slice(8, 10)) == rows
