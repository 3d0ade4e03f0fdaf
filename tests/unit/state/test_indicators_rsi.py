from __future__ import annotations

import math

import numpy as np
import pytest
import talib

from state.indicators import Rsi

# Wilder's own example as commonly printed: 14 changes, then the 15th to 20th closing price.
CLOSES = [
    44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826,
    45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439,
]  # fmt: skip


def run(values: list[float], period: int = 14) -> list[float]:
    rsi = Rsi(period)
    line = []
    for value in values:
        rsi.update(value)
        line.append(rsi.value)
    return line


def test_one_value_has_no_change_and_so_no_index() -> None:
    assert math.isnan(run([500.0])[0])


def test_a_price_that_only_rises_has_100() -> None:
    assert run([500.0 + i for i in range(30)])[-1] == 100.0


def test_a_price_that_only_falls_has_0() -> None:
    assert run([500.0 - i for i in range(30)])[-1] == 0.0


def test_a_price_that_never_moves_has_0_as_in_talib() -> None:
    assert run([500.0] * 30)[-1] == 0.0
    assert talib.RSI(np.full(30, 500.0), 14)[-1] == 0.0


def test_equal_rises_and_falls_have_50() -> None:
    assert run([500.0 + i % 2 for i in range(15)])[-1] == pytest.approx(50.0, rel=1e-12)


def test_the_textbook_series_gives_the_textbook_values() -> None:
    assert run(CLOSES)[14:] == pytest.approx([70.53, 66.32, 66.55, 69.41, 66.36, 57.97], abs=0.01)


@pytest.mark.parametrize("period", [2, 7, 14, 21])
def test_mixed_prices_give_what_talib_gives(period: int) -> None:
    prices = 700 + np.random.default_rng(2).normal(0, 3, 300).cumsum().round(1)
    np.testing.assert_allclose(run(prices.tolist(), period), talib.RSI(prices, period), rtol=1e-9)


def test_a_period_below_two_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Rsi(1)
