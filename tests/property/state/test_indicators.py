"""The indicators against TA-Lib and NumPy, on series nobody picked."""

from __future__ import annotations

import numpy as np
import talib
from hypothesis import given
from hypothesis import strategies as st

from state.indicators import Ema, Macd, Rsi

prices_on_the_grid = st.lists(st.integers(1, 100_000), min_size=2, max_size=150).map(
    lambda tenths: [tenth / 10 for tenth in tenths]
)


@given(prices_on_the_grid, st.integers(2, 40))
def test_ema_equals_talib(prices: list[float], period: int) -> None:
    ema = Ema(period)
    line = []
    for price in prices:
        ema.update(price)
        line.append(ema.value)
    np.testing.assert_allclose(line, talib.EMA(np.array(prices), period), rtol=1e-11)


@given(prices_on_the_grid, st.integers(2, 30))
def test_rsi_equals_talib_and_stays_between_0_and_100(prices: list[float], period: int) -> None:
    rsi = Rsi(period)
    line = []
    for price in prices:
        rsi.update(price)
        line.append(rsi.value)
        assert not rsi.initialized or 0.0 <= rsi.value <= 100.0
    np.testing.assert_allclose(line, talib.RSI(np.array(prices), period), rtol=1e-9, atol=1e-9)


@given(prices_on_the_grid, st.integers(2, 12), st.integers(1, 15), st.integers(1, 9))
def test_macd_equals_talib(prices: list[float], fast: int, gap: int, signal: int) -> None:
    macd = Macd(fast, fast + gap, signal)
    lines = []
    for price in prices:
        macd.update(price)
        lines.append((macd.value, macd.signal, macd.histogram))
    expected = np.array(talib.MACD(np.array(prices), fast, fast + gap, signal)).T
    np.testing.assert_allclose(lines, expected, rtol=1e-9, atol=1e-8)
