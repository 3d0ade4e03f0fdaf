from __future__ import annotations

import math

import numpy as np
import pytest
import talib

from state.moments import RunningMoments


def window_of(values: list[float]) -> RunningMoments:
    moments = RunningMoments()
    for value in values:
        moments.update(value)
    return moments


def test_one_value_is_its_own_mean_without_deviation() -> None:
    moments = window_of([123.4])
    assert (moments.mean, moments.value) == (123.4, 0.0)


def test_a_constant_window_has_a_deviation_of_exactly_zero_and_no_z_score() -> None:
    moments = window_of([0.1] * 50)
    assert moments.value == 0.0
    assert math.isnan(moments.z_score(7.0))


@pytest.mark.parametrize("step", [1.0, -1.0])
def test_a_straight_line_has_the_deviation_of_the_uniform_distribution(step: float) -> None:
    moments = window_of([step * i for i in range(1, 101)])
    assert moments.mean == pytest.approx(50.5 * step, rel=1e-15)
    assert moments.variance == pytest.approx((100**2 - 1) / 12, rel=1e-15)


def test_a_rolling_window_gives_what_talib_gives() -> None:
    prices = 700 + np.random.default_rng(5).normal(0, 3, 300).cumsum().round(1)
    moments = RunningMoments()
    line = []
    for i, price in enumerate(prices.tolist()):
        moments.update(price)
        if i >= 20:
            moments.remove(float(prices[i - 20]))
        line.append(moments.value)
    np.testing.assert_allclose(line[19:], talib.STDDEV(prices, 20)[19:], rtol=1e-7)  # TA-Lib's sums are plain


def test_an_outlier_leaves_no_trace_once_it_is_gone() -> None:
    calm = [10.0, 10.1, 9.9, 10.2]
    moments = window_of([1e9 + 0.1, *calm])
    moments.remove(1e9 + 0.1)
    assert moments.value == pytest.approx(float(np.std(calm)), rel=1e-12)


def test_a_small_deviation_of_a_large_mean_is_not_lost() -> None:
    values = [1e9 + 0.001 * i for i in range(10)]
    shifted = [value - 1e9 for value in values]
    assert window_of(values).value == pytest.approx(float(np.std(shifted)), rel=1e-12)


def test_the_z_score_counts_deviations_above_the_mean() -> None:
    moments = window_of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert moments.z_score(9.0) == pytest.approx(2.0, rel=1e-15)


def test_a_window_emptied_by_removal_is_as_new() -> None:
    moments = window_of([5.0, 6.0])
    moments.remove(5.0)
    moments.remove(6.0)
    assert moments.state() == RunningMoments().state()
    assert math.isnan(moments.mean)
    with pytest.raises(ValueError, match="window is empty"):
        moments.remove(5.0)
