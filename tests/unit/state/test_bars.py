from __future__ import annotations

from state.bars import BarBuilder

MINUTE = 60_000
FIVE = 300_000
START = 1_719_897_300_000  # a multiple of both lengths


def test_a_symbol_that_never_traded_has_no_bar() -> None:
    builder = BarBuilder()
    assert (builder.next_due, builder.last_due) == (None, None)
    assert builder.close(2**62) == []


def test_a_window_closes_when_no_trade_of_its_last_millisecond_can_come() -> None:
    builder = BarBuilder()
    builder.add(START, 5_000_000, 10, 0, 0)
    assert builder.close(START + MINUTE - 2) == []
    assert [bar.interval for bar in builder.close(START + MINUTE - 1)] == ["1m"]
    assert builder.close(START + FIVE - 2) == []
    assert [bar.interval for bar in builder.close(START + FIVE - 1)] == ["5m"]
    assert builder.next_due is None


def test_the_end_of_a_window_is_the_next_ones() -> None:
    builder = BarBuilder()
    builder.add(START + MINUTE - 1, 5_000_000, 10, 0, 0)
    builder.add(START + MINUTE, 5_001_000, 20, 0, 1)
    first, second = builder.close(START + 2 * MINUTE - 1)
    assert (first.window_start, first.window_end, first.volume) == (START, START + MINUTE, 10)
    assert (second.window_start, second.window_end, second.volume) == (START + MINUTE, START + 2 * MINUTE, 20)


def test_open_and_close_are_first_and_last_by_event_time_not_by_arrival() -> None:
    builder = BarBuilder()
    builder.add(START + 20_000, 5_000_000, 1, 0, 0)
    builder.add(START + 50_000, 5_010_000, 1, 0, 1)
    builder.add(START + 10_000, 4_990_000, 1, 0, 2)
    builder.add(START + 30_000, 5_020_000, 1, 0, 3)
    bar = builder.close(START + MINUTE - 1)[0]
    assert (bar.open, bar.high, bar.low, bar.close) == (499.0, 502.0, 499.0, 501.0)
    assert (bar.partition, bar.offset) == (0, 1)


def test_of_trades_in_one_millisecond_the_first_arrived_opens_and_the_last_arrived_closes() -> None:
    builder = BarBuilder()
    for offset, price in enumerate((5_000_000, 5_010_000, 4_990_000)):
        builder.add(START + 5, price, 1, 2, offset)
    bar = builder.close(START + MINUTE - 1)[0]
    assert (bar.open, bar.close, bar.offset) == (500.0, 499.0, 2)


def test_a_bar_weighs_its_vwap_by_volume_and_its_mean_price_by_trade() -> None:
    builder = BarBuilder()
    builder.add(START, 5_000_000, 30, 0, 0)
    builder.add(START + 1, 5_040_000, 10, 0, 1)
    bar = builder.close(START + MINUTE - 1)[0]
    assert (bar.vwap, bar.mean_price, bar.volume, bar.trades) == (501.0, 502.0, 40, 2)


def test_one_watermark_closes_all_windows_it_has_passed_oldest_first() -> None:
    builder = BarBuilder()
    for minute in (6, 0, 4):
        builder.add(START + minute * MINUTE, 5_000_000, 1, 0, minute)
    windows = [(bar.interval, (bar.window_start - START) // MINUTE) for bar in builder.close(START + 2 * FIVE - 1)]
    assert windows == [("1m", 0), ("1m", 4), ("5m", 0), ("1m", 6), ("5m", 5)]
