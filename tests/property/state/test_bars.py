"""Bars against plain loops over all trades, and against pandas."""

from __future__ import annotations

import msgpack
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.bars import INTERVALS, Bar, BarBuilder

Trade = tuple[int, int, int]
START = 1_719_897_300_000
BOUND_MS = 15_000


@st.composite
def arrivals(draw: st.DrawFn) -> list[Trade]:
    """Trades (time, price, volume) in order of arrival, at most the watermark's bound behind the newest."""
    newest = START
    trades = []
    for _ in range(draw(st.integers(1, 50))):
        newest += draw(st.sampled_from([0, 1, 500, 20_000, 59_999, 60_000, 61_000, 300_000, 700_000]))
        behind = draw(st.sampled_from([0, 0, 0, 1, 900, BOUND_MS - 1]))
        trades.append((newest - behind, 1_000 * draw(st.integers(4_000, 4_010)), draw(st.integers(1, 400))))
    return trades


def run(trades: list[Trade], every: int = 1) -> list[Bar]:
    """Adds the trades as they arrive; every so many the watermark moves on."""
    builder = BarBuilder()
    bars = []
    newest = 0
    for offset, (time, price, volume) in enumerate(trades):
        builder.add(time, price, volume, 3, offset)
        newest = max(newest, time)
        if offset % every == 0:
            bars += builder.close(newest - BOUND_MS)
    last_due = builder.last_due
    return bars + (builder.close(last_due) if last_due is not None else [])


def naive_bars(trades: list[Trade]) -> list[Bar]:
    """Takes the trades of each window out of all trades, and each field out of those."""
    ordered = sorted(enumerate(trades), key=lambda one: one[1][0])
    bars = []
    for interval, length in INTERVALS.items():
        for start in {time // length * length for time, _, _ in trades}:
            rows = [(offset, *trade) for offset, trade in ordered if start <= trade[0] < start + length]
            prices = [units / 10_000 for _, _, units, _ in rows]
            volume = sum(shares for *_, shares in rows)
            vwap = sum(price * row[3] for price, row in zip(prices, rows, strict=True)) / volume
            mean = sum(prices) / len(rows)
            bars.append(
                Bar(
                    interval, start, start + length, prices[0], max(prices), min(prices), prices[-1], volume, vwap,
                    len(rows), mean, 3, rows[-1][0],
                )
            )  # fmt: skip
    return bars


def by_window(bars: list[Bar]) -> dict[tuple[str, int], Bar]:
    return {(bar.interval, bar.window_start): bar for bar in bars}


@given(arrivals(), st.integers(1, 7))
def test_bars_are_what_all_trades_of_their_window_give(trades: list[Trade], every: int) -> None:
    bars = run(trades, every)
    reference = by_window(naive_bars(trades))
    assert len(bars) == len(reference)
    assert by_window(bars).keys() == reference.keys()
    for bar in bars:
        assert bar[1:] == pytest.approx(reference[bar.interval, bar.window_start][1:], rel=1e-12)


def test_bars_of_a_long_session_are_those_of_pandas() -> None:
    random = np.random.default_rng(11)
    count = 5_000
    time = START + random.exponential(2_000, count).astype(int).cumsum() - random.integers(0, BOUND_MS // 5, count)
    units = 5_000_000 + 1_000 * random.integers(-2, 3, count).cumsum()
    volume = random.integers(1, 900, count)
    frame = pd.DataFrame({"price": units / 10_000, "volume": volume, "turnover": units / 10_000 * volume})
    frame.index = pd.to_datetime(time, unit="ms")
    frame = frame.sort_index(kind="stable")
    bars = run(list(zip(time.tolist(), units.tolist(), volume.tolist(), strict=True)))
    for interval, rule in (("1m", "1min"), ("5m", "5min")):
        windows = frame.resample(rule)
        reference = windows.price.agg(["first", "max", "min", "last", "count", "mean"])
        reference["volume"] = windows.volume.sum()
        reference["vwap"] = windows.turnover.sum() / reference["volume"]
        reference = reference[reference["count"] > 0]
        found = [bar for bar in bars if bar.interval == interval]
        fields = [(b.open, b.high, b.low, b.close, b.trades, b.mean_price, b.volume, b.vwap) for b in found]
        np.testing.assert_allclose(fields, reference.to_numpy(), rtol=1e-12)
        assert [bar.window_start for bar in found] == (reference.index.astype("int64") // 10**6).tolist()


@given(arrivals())
def test_every_trade_is_in_exactly_one_bar_of_each_interval(trades: list[Trade]) -> None:
    bars = run(trades)
    for interval in INTERVALS:
        of_interval = [bar for bar in bars if bar.interval == interval]
        assert sum(bar.trades for bar in of_interval) == len(trades)
        assert sum(bar.volume for bar in of_interval) == sum(volume for _, _, volume in trades)
        assert len({bar.window_start for bar in of_interval}) == len(of_interval)


@given(arrivals(), st.integers(1, 9))
def test_bars_do_not_depend_on_the_steps_of_the_watermark(trades: list[Trade], every: int) -> None:
    bars = run(trades, every)
    assert by_window(bars) == by_window(run(trades, 10**9))
    ends = [bar.window_end for bar in bars]
    assert ends == sorted(ends) or every > 1


@given(arrivals(), st.integers(0, 50))
def test_a_builder_taken_out_of_its_dump_gives_the_same_bars(trades: list[Trade], cut: int) -> None:
    original, restored = BarBuilder(), BarBuilder()
    for offset, trade in enumerate(trades[:cut]):
        original.add(*trade, 0, offset)
    restored.load(msgpack.unpackb(msgpack.packb(original.dump())))
    for builder in (original, restored):
        for offset, trade in enumerate(trades[cut:], start=cut):
            builder.add(*trade, 0, offset)
    assert (restored.next_due, restored.last_due) == (original.next_due, original.last_due)
    assert restored.close(2**62) == original.close(2**62)


@given(arrivals())
def test_what_is_due_next_is_the_first_moment_at_which_a_bar_closes(trades: list[Trade]) -> None:
    builder = BarBuilder()
    for offset, trade in enumerate(trades):
        builder.add(*trade, 0, offset)
    while (due := builder.next_due) is not None:
        assert not builder.close(due - 1)
        assert {bar.window_end for bar in builder.close(due)} == {due + 1}
