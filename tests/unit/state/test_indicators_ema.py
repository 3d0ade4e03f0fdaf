from __future__ import annotations

import math

import numpy as np
import pytest
import talib

from state.indicators import Ema


def run(values: list[float], period: int) -> list[float]:
    ema = Ema(period)
    line = []
    for value in values:
        ema.update(value)
        line.append(ema.value)
    return line


def test_one_value_is_the_average_of_period_one_and_no_average_of_a_longer_one() -> None:
    assert run([101.5], 1) == [101.5]
    assert math.isnan(run([101.5], 2)[0])


def test_a_constant_series_has_its_constant_as_average() -> None:
    assert run([250.0] * 30, 9)[-1] == 250.0


@pytest.mark.parametrize("step", [0.1, -0.1])
def test_it_runs_behind_a_straight_line_by_half_of_period_minus_one_steps(step: float) -> None:
    line = [500.0 + step * i for i in range(400)]
    assert run(line, 21)[-1] == pytest.approx(line[-1] - 10 * step, rel=1e-12)


def test_it_starts_with_the_mean_of_the_first_values() -> None:
    line = run([1.0, 2.0, 6.0, 7.0], 3)
    assert math.isnan(line[1])
    assert line[2] == 3.0
    assert line[3] == 5.0


@pytest.mark.parametrize("period", [2, 5, 12, 26, 50])
def test_mixed_prices_give_what_talib_gives(period: int) -> None:
    prices = 700 + np.random.default_rng(1).normal(0, 3, 300).cumsum().round(1)
    np.testing.assert_allclose(run(prices.tolist(), period), talib.EMA(prices, period), rtol=1e-12)


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Ema(0)
