"""The window against sums made anew, from all trades, with plain NumPy."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.window import KEEP_TICKS, MAX_TICKS, SPANS_S, TickWindow

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


def filled(trades: list[Trade]) -> TickWindow:
    window = TickWindow()
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


def all_of(window: TickWindow) -> list[list[int]]:
    return [
        window.times, window.prices, window.volumes, window.signs, window.starts, window.counts, window.volume_sums,
        window.signed_sums, window.price_sums,
    ]  # fmt: skip


def assert_tail_is_right(window: TickWindow, trades: list[Trade]) -> None:
    """All that the window still holds is the end of the sorted trades, and its sums are those of all trades."""
    times, prices, volumes = (np.array(column) for column in zip(*sorted(trades, key=lambda one: one[0]), strict=True))
    signs = np.array(signs_of(prices.tolist()))
    kept = len(window.times)
    columns = (times, prices, volumes, signs)
    held = (window.times, window.prices, window.volumes, window.signs)
    assert [column[-kept:].tolist() for column in columns] == [list(column) for column in held]
    for k, span in enumerate(SPANS_S):
        within = times > times[-1] - span * 1000
        assert window.counts[k] == within.sum()
        assert window.volume_sums[k] == volumes[within].sum()
        assert window.signed_sums[k] == (signs * volumes)[within].sum()
        assert window.price_sums[k] == prices[within].sum()
        assert window.starts[k] == kept - within.sum()
        if not within.all():
            assert window.prices[window.starts[k] - 1] == prices[~within][-1]
            assert window.starts[k] > 0


@given(disordered_trades())
def test_sums_counts_starts_signs_and_order_are_those_of_the_sorted_trades(trades: list[Trade]) -> None:
    window = TickWindow()
    for i, trade in enumerate(trades):
        at = window.add(*trade)
        assert (window.times[at], window.prices[at], window.volumes[at]) == trade
        assert_tail_is_right(window, trades[: i + 1])


@pytest.mark.parametrize(("seed", "mean_gap_ms"), [(1, 300.0), (2, 1_500.0), (3, 9_000.0), (4, 40_000.0)])
def test_sums_stay_right_while_old_trades_are_dropped(seed: int, mean_gap_ms: float) -> None:
    trades = long_session(seed, 1_500, mean_gap_ms)
    window = TickWindow()
    for i, trade in enumerate(trades):
        window.add(*trade)
        if i % 13 == 0 or i > 1_400:
            assert_tail_is_right(window, trades[: i + 1])
    assert len(window.times) < len(trades)


@given(st.dictionaries(st.integers(0, 20_000), st.tuples(prices, st.integers(1, 500)), min_size=1), st.data())
def test_trades_of_distinct_times_give_the_same_window_in_whatever_order_they_come(
    trades: dict[int, tuple[int, int]], data: st.DataObject
) -> None:
    arrivals = [(time, *trade) for time, trade in data.draw(st.permutations(list(trades.items())))]
    assert all_of(filled(arrivals)) == all_of(filled(sorted(arrivals)))


def test_trades_of_one_millisecond_stand_in_the_order_of_their_arrival() -> None:
    window = filled([(5, 10, 1), (9, 20, 1), (5, 30, 1), (9, 40, 1), (5, 50, 1)])
    assert window.prices == [10, 30, 50, 20, 40]


@given(disordered_trades(), st.integers(0, 60))
def test_a_window_taken_out_of_its_dump_goes_on_as_the_original(trades: list[Trade], cut: int) -> None:
    original = filled(trades[:cut])
    restored = TickWindow()
    restored.load(msgpack.unpackb(msgpack.packb(original.dump())))
    assert all_of(restored) == all_of(original)
    for trade in trades[cut:]:
        assert restored.add(*trade) == original.add(*trade)
        assert all_of(restored) == all_of(original)


@pytest.mark.parametrize("cut", [40, 127, 128, 500, 1_087, 1_088, 2_500])
def test_a_restored_window_drops_the_same_trades_as_the_original(cut: int) -> None:
    trades = long_session(5, 3_000, 120.0)
    original = filled(trades[:cut])
    restored = TickWindow()
    restored.load(msgpack.unpackb(msgpack.packb(original.dump())))
    for trade in trades[cut:]:
        original.add(*trade)
        restored.add(*trade)
    assert all_of(restored) == all_of(original)


def test_a_slow_symbol_keeps_its_last_64_trades_and_not_many_more() -> None:
    window = TickWindow()
    for i in range(2_000):
        window.add(i * 400_000, 100, 1)
        assert min(i + 1, KEEP_TICKS) <= len(window.times) < 2 * KEEP_TICKS
    assert window.times[-1] == 1_999 * 400_000


def test_a_symbol_that_trades_too_fast_keeps_1024_trades_and_sums_over_those() -> None:
    window = TickWindow()
    for i in range(5_000):
        window.add(i * 10, 100, 2)
        assert len(window.times) < MAX_TICKS + 64
    assert len(window.times) >= MAX_TICKS
    kept = len(window.times)
    assert window.counts[SPANS_S.index(300)] == kept
    assert window.volume_sums[SPANS_S.index(300)] == 2 * kept
    assert window.counts[SPANS_S.index(10)] == 1_000
    assert window.starts[SPANS_S.index(10)] == kept - 1_000


def test_the_trade_before_the_longest_span_is_kept_however_busy_the_span_is() -> None:
    window = TickWindow()
    for i in range(900):
        window.add(i * 1_000, 100 + i, 1)
    start = window.starts[SPANS_S.index(300)]
    assert window.prices[start - 1] == 100 + 899 - 300


def test_a_cleared_window_is_as_new() -> None:
    window = filled(long_session(6, 300, 500.0))
    window.clear()
    assert all_of(window) == all_of(TickWindow())
