"""The window in a symbol's memory against sums made anew, from all trades, with plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import memory as at
from state.rules import load_rules
from state.symbol_memory import larger_memory, new_memory, pack, unpack
from state.window import KEEP_TICKS, MAX_TICKS, SPANS_S
from state.window_kernel import add_to_window, column, make_room

RULES = load_rules(Path(__file__).resolve().parents[3] / "flink-conf" / "markets" / "nepse.yaml")
Trade = tuple[int, int, int]
START = 1_719_897_300_000

gaps = st.sampled_from([0, 0, 1, 3, 250, 999, 1_000, 4_000, 10_000, 29_999, 30_000, 61_000, 299_999, 300_000, 301_000])
prices = st.integers(-3, 3).map(lambda step: 5_000_000 + 1_000 * step)


@st.composite
def disordered_trades(draw: st.DrawFn) -> list[Trade]:
    """Trades of which some arrive up to 15 s behind newer ones."""
    newest = 0
    trades = []
    for _ in range(draw(st.integers(1, 60))):
        newest += draw(gaps)
        behind = draw(st.sampled_from([0, 0, 0, 1, 3, 800, 14_999]))
        trades.append((START + newest - behind, draw(prices), draw(st.integers(1, 500))))
    return trades


def long_session(seed: int, count: int, mean_gap_ms: float) -> list[Trade]:
    """A session that makes the window trim; one trade in ten arrives behind."""
    random = np.random.default_rng(seed)
    newest = START + random.exponential(mean_gap_ms, count).astype(int).cumsum()
    behind = np.where(random.random(count) < 0.1, random.integers(0, 15_000, count), 0)
    prices = 5_000_000 + 1_000 * random.integers(-2, 3, count).cumsum()
    return list(zip((newest - behind).tolist(), prices.tolist(), random.integers(1, 900, count).tolist(), strict=True))


class Window:
    """The columns of a memory, and what their sums say, for people."""

    def __init__(self) -> None:
        self.memory = new_memory(RULES, 100)

    def add(self, time: int, price: int, volume: int) -> int:
        """Takes in a trade; its place in the columns."""
        place = int(add_to_window(self.memory, time, price, volume) - self.memory[at.HEAD])
        if make_room(self.memory):
            self.memory = larger_memory(self.memory, RULES)
        return place

    def taken_out_of_its_dump(self) -> Window:
        restored = Window()
        restored.memory = unpack(pack(self.memory), RULES)
        return restored

    @property
    def span(self) -> slice:
        return slice(int(self.memory[at.HEAD]), int(self.memory[at.TAIL]))

    def column(self, number: int) -> list[int]:
        first = int(column(self.memory, number))
        return self.memory[first + self.span.start : first + self.span.stop].tolist()

    def sums(self, number: int, *, between: bool = False) -> list[int]:
        """Per span what a column's sums have gained over it; of what lies between trades, from the second on."""
        sums = self.memory[int(column(self.memory, number)) :]
        return [int(sums[self.span.stop] - sums[self.span.start + start + between]) for start in self.starts]

    @property
    def starts(self) -> list[int]:
        return (self.memory[at.STARTS : at.STARTS + len(SPANS_S)] - self.memory[at.HEAD]).tolist()

    def __len__(self) -> int:
        return self.span.stop - self.span.start


def filled(trades: list[Trade]) -> Window:
    window = Window()
    for trade in trades:
        window.add(*trade)
    return window


def signs_of(prices: list[int]) -> list[int]:
    signs = []
    sign = 0
    before = None
    for price in prices:
        if before is not None and price != before:
            sign = 1 if price > before else -1
        signs.append(sign)
        before = price
    return signs


SUMS = (at.VOLUME_SUMS, at.SIGNED_SUMS, at.PRICE_SUMS, at.TURNOVER_SUMS)


def all_of(window: Window) -> list[list[int]]:
    columns = [window.column(number) for number in (at.TIMES, at.PRICES, at.VOLUMES, at.SIGNS)]
    between = [window.sums(number, between=True) for number in (at.CHANGE_SUMS, at.PATH_SUMS)]
    return [*columns, window.starts, *map(window.sums, SUMS), *between]


def assert_tail_is_right(window: Window, trades: list[Trade]) -> None:
    """All that the window still holds is the end of the sorted trades, and its sums are those of all trades."""
    times, prices, volumes = (np.array(column) for column in zip(*sorted(trades, key=lambda one: one[0]), strict=True))
    signs = np.array(signs_of(prices.tolist()))
    kept = len(window)
    for number, expected in zip(
        (at.TIMES, at.PRICES, at.VOLUMES, at.SIGNS), (times, prices, volumes, signs), strict=True
    ):
        assert window.column(number) == expected[-kept:].tolist()
    rows = (volumes, signs * volumes, prices, prices * volumes)
    for k, span in enumerate(SPANS_S):
        within = times > times[-1] - span * 1000
        steps = np.diff(prices[within])
        assert [window.sums(number)[k] for number in SUMS] == [row[within].sum() for row in rows]
        assert window.sums(at.CHANGE_SUMS, between=True)[k] == np.count_nonzero(steps)
        assert window.sums(at.PATH_SUMS, between=True)[k] == np.abs(steps).sum()
        assert window.starts[k] == kept - within.sum()
        if not within.all():
            assert window.column(at.PRICES)[window.starts[k] - 1] == prices[~within][-1]
            assert window.starts[k] > 0


@given(disordered_trades())
def test_sums_counts_starts_signs_and_order_are_those_of_the_sorted_trades(trades: list[Trade]) -> None:
    window = Window()
    for i, trade in enumerate(trades):
        place = window.add(*trade)
        assert tuple(window.column(number)[place] for number in (at.TIMES, at.PRICES, at.VOLUMES)) == trade
        assert_tail_is_right(window, trades[: i + 1])


@pytest.mark.parametrize(("seed", "mean_gap_ms"), [(1, 700.0), (2, 1_500.0), (3, 9_000.0), (4, 40_000.0)])
def test_sums_stay_right_while_old_trades_are_dropped(seed: int, mean_gap_ms: float) -> None:
    trades = long_session(seed, 1_500, mean_gap_ms)
    window = Window()
    for i, trade in enumerate(trades):
        window.add(*trade)
        if i % 13 == 0 or i > 1_400:
            assert_tail_is_right(window, trades[: i + 1])
    assert len(window) < len(trades)


@given(st.dictionaries(st.integers(0, 20_000), st.tuples(prices, st.integers(1, 500)), min_size=1), st.data())
def test_trades_of_distinct_times_give_the_same_window_in_whatever_order_they_come(
    trades: dict[int, tuple[int, int]], data: st.DataObject
) -> None:
    arrivals = [(time, *trade) for time, trade in data.draw(st.permutations(list(trades.items())))]
    assert all_of(filled(arrivals)) == all_of(filled(sorted(arrivals)))


def test_trades_of_one_millisecond_stand_in_the_order_of_their_arrival() -> None:
    window = filled([(5, 10, 1), (9, 20, 1), (5, 30, 1), (9, 40, 1), (5, 50, 1)])
    assert window.column(at.PRICES) == [10, 30, 50, 20, 40]


@given(disordered_trades(), st.integers(0, 60))
def test_a_window_taken_out_of_its_dump_goes_on_as_the_original(trades: list[Trade], cut: int) -> None:
    original = filled(trades[:cut])
    restored = original.taken_out_of_its_dump()
    assert all_of(restored) == all_of(original)
    for trade in trades[cut:]:
        assert restored.add(*trade) == original.add(*trade)
        assert all_of(restored) == all_of(original)


@pytest.mark.parametrize("cut", [40, 64, 65, 100, 500, 1_024, 1_025, 2_500])
def test_a_restored_window_drops_the_same_trades_as_the_original(cut: int) -> None:
    trades = long_session(5, 3_000, 120.0)
    original = filled(trades[:cut])
    restored = original.taken_out_of_its_dump()
    for trade in trades[cut:]:
        original.add(*trade)
        restored.add(*trade)
    assert all_of(restored) == all_of(original)


def test_a_slow_symbol_keeps_its_last_64_trades() -> None:
    window = Window()
    for i in range(2_000):
        window.add(i * 400_000, 100, 1)
        assert len(window) == min(i + 1, KEEP_TICKS)
    assert window.column(at.TIMES)[-1] == 1_999 * 400_000


def test_a_symbol_that_trades_too_fast_keeps_1024_trades_and_sums_over_those() -> None:
    window = Window()
    for i in range(5_000):
        window.add(i * 10, 100, 2)
        assert len(window) == min(i + 1, MAX_TICKS)
    assert window.sums(at.VOLUME_SUMS)[SPANS_S.index(300)] == 2 * MAX_TICKS
    assert window.starts[SPANS_S.index(300)] == 0
    assert window.starts[SPANS_S.index(10)] == MAX_TICKS - 1_000


def test_the_trade_before_the_longest_span_is_kept_however_busy_the_span_is() -> None:
    window = Window()
    for i in range(900):
        window.add(i * 1_000, 100 + i, 1)
    start = window.starts[SPANS_S.index(max(SPANS_S))]
    assert window.column(at.PRICES)[start - 1] == 100 + 899 - max(SPANS_S)
    assert len(window) == max(SPANS_S) + 1


def test_a_memory_grows_no_further_than_its_window_needs() -> None:
    assert filled(long_session(6, 3_000, 20_000.0)).memory.nbytes < 20_000
    assert filled(long_session(6, 3_000, 100.0)).memory.nbytes < 200_000


def test_a_trade_worth_more_than_any_market_counts_as_a_large_one() -> None:
    assert filled([(0, 100_000_000_000, 10_000_000_000)]).sums(at.TURNOVER_SUMS)[0] == 2**52
