from __future__ import annotations

import math

import numpy as np
import pytest
import talib

from state.indicators import Macd


def run(values: list[float], *periods: int) -> np.ndarray:
    macd = Macd(*periods)
    lines = []
    for value in values:
        macd.update(value)
        lines.append((macd.value, macd.signal, macd.histogram))
    return np.array(lines).T


def test_one_value_gives_no_line() -> None:
    assert np.isnan(run([500.0])).all()


def test_a_constant_series_has_three_flat_lines_at_zero() -> None:
    assert run([500.0] * 60)[:, -1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("step", [1.0, -1.0])
def test_on_a_straight_line_it_is_the_difference_of_the_two_lags(step: float) -> None:
    macd, signal, histogram = run([500.0 + step * i for i in range(600)])[:, -1]
    assert macd == pytest.approx(7.0 * step, rel=1e-9)  # (26 - 1) / 2 - (12 - 1) / 2
    assert signal == pytest.approx(7.0 * step, rel=1e-9)
    assert histogram == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("periods", [(12, 26, 9), (5, 35, 5), (3, 4, 1)])
def test_mixed_prices_give_what_talib_gives_from_the_first_value_on(periods: tuple[int, int, int]) -> None:
    prices = 700 + np.random.default_rng(3).normal(0, 3, 300).cumsum().round(1)
    expected = np.array(talib.MACD(prices, *periods))
    np.testing.assert_allclose(run(prices.tolist(), *periods), expected, rtol=1e-9, atol=1e-10)


def test_peeking_gives_all_three_lines() -> None:
    prices = (700 + np.random.default_rng(4).normal(0, 3, 80).cumsum()).tolist()
    macd = Macd()
    for price in prices:
        peeked = macd.peek_lines(price)
        macd.update(price)
        now = (macd.value, macd.signal, macd.histogram)
        assert peeked == now or (math.isnan(peeked.signal) and math.isnan(macd.signal))


def test_a_fast_period_that_is_not_the_faster_is_refused() -> None:
    with pytest.raises(ValueError, match="fast period must be below"):
        Macd(26, 12)
