from __future__ import annotations

import numpy as np

from training.labels import label_moves
from udfs.manifest import CLASSES

OPEN = 1_719_897_300_000


def moves(*trades: tuple[int, int, float]) -> list[str]:
    """Class of each (symbol, ms after the open, price)."""
    symbols, times, prices = zip(*trades, strict=True)
    labels = label_moves(np.array(symbols), np.array(times) + OPEN, np.array(prices))
    return [CLASSES[label] for label in labels]


def test_no_trades_have_no_labels() -> None:
    assert len(label_moves(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))) == 0


def test_a_trade_that_none_follows_stays_flat() -> None:
    assert moves((0, 0, 500.0)) == ["flat"]


def test_the_last_price_of_the_minute_decides_not_the_first() -> None:
    assert moves((0, 0, 500.0), (0, 1_000, 501.0), (0, 2_000, 499.0)) == ["down", "down", "flat"]


def test_a_price_that_comes_back_is_flat() -> None:
    assert moves((0, 0, 500.0), (0, 1_000, 501.0), (0, 2_000, 500.0))[0] == "flat"


def test_a_trade_exactly_a_minute_later_counts_and_one_a_millisecond_after_does_not() -> None:
    assert moves((0, 0, 500.0), (0, 60_000, 501.0))[0] == "up"
    assert moves((0, 0, 500.0), (0, 60_001, 501.0))[0] == "flat"


def test_trades_of_the_same_millisecond_are_no_future_of_each_other() -> None:
    assert moves((0, 0, 500.0), (0, 0, 501.0)) == ["flat", "flat"]


def test_of_two_trades_in_the_last_millisecond_the_one_that_came_later_decides() -> None:
    assert moves((0, 0, 500.0), (0, 5_000, 501.0), (0, 5_000, 499.0))[0] == "down"


def test_another_symbols_prices_do_not_matter() -> None:
    assert moves((1, 0, 500.0), (0, 10, 900.0), (1, 20, 501.0), (0, 30, 800.0)) == ["up", "down", "flat", "flat"]


def test_trades_that_arrive_out_of_order_are_judged_in_order_of_their_time() -> None:
    assert moves((0, 2_000, 499.0), (0, 0, 500.0), (0, 1_000, 498.0)) == ["flat", "down", "up"]
