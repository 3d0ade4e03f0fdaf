from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from training.metrics import (
    area_under_curve,
    calibration_error,
    calibration_table,
    macro_f1,
    measure,
    measure_direction,
    top_decile_precision,
)

UP, FLAT, DOWN = 0, 1, 2


def labels(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int8)


def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order() -> None:
    scores = np.array([0.9, 0.4, 0.4, 0.1])
    positive = np.array([True, True, False, False])
    assert area_under_curve(scores, positive) == (1 + 1 + 1 + 0.5) / 4


def test_the_area_under_the_curve_is_mann_whitneys_u_over_all_pairs() -> None:
    random = np.random.default_rng(21)
    scores = random.normal(size=500).round(1)
    positive = random.random(500) < 0.3
    u = mannwhitneyu(scores[positive], scores[~positive]).statistic
    pairs = positive.sum() * (~positive).sum()
    assert area_under_curve(scores, positive) == pytest.approx(u / pairs, rel=1e-12)


def test_one_class_alone_has_no_area_under_the_curve() -> None:
    assert math.isnan(area_under_curve(np.array([0.2, 0.8]), np.array([True, True])))


def test_direction_is_judged_by_up_against_down_on_the_trades_that_moved() -> None:
    probabilities = np.array([[0.30, 0.60, 0.10], [0.10, 0.80, 0.10], [0.05, 0.80, 0.15]], dtype=np.float32)
    non_flat = measure(probabilities, labels(UP, FLAT, DOWN))["non_flat"]
    assert non_flat["trades"] == 2
    assert non_flat["accuracy"] == 1.0
    assert non_flat["log_loss"] == pytest.approx(-math.log(0.75), rel=1e-6)


def test_an_even_chance_is_half_right() -> None:
    assert measure_direction(np.array([0.5, 0.9]), np.array([True, True]))["accuracy"] == 0.75


def test_three_classes_are_judged_on_all_trades() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.5, 0.25, 0.25]], dtype=np.float32)
    three = measure(probabilities, labels(UP, FLAT, DOWN))["three_class"]
    assert three["accuracy"] == pytest.approx(2 / 3)
    assert three["log_loss"] == pytest.approx(-(math.log(0.5) * 2 + math.log(0.25)) / 3, rel=1e-6)
    assert three["macro_f1"] == pytest.approx((2 / 3 + 1.0 + 0.0) / 3)


def test_a_class_that_neither_came_nor_was_named_does_not_count_in_macro_f1() -> None:
    assert macro_f1(np.array([UP, FLAT]), labels(UP, FLAT)) == 1.0


def test_the_top_decile_is_the_tenth_of_the_most_surely_said_rises_and_falls() -> None:
    p_up = np.concatenate([[0.99, 0.98, 0.01, 0.02], np.full(36, 0.6)])
    is_up = np.zeros(40, dtype=bool)
    is_up[[0, 2]] = True  # of the two rises that were surely said one came, of the two falls one
    assert top_decile_precision(p_up, is_up) == 0.5
    is_up[1] = True
    assert top_decile_precision(p_up, is_up) == 0.75


def test_falls_that_were_surely_said_and_came_are_precise() -> None:
    assert top_decile_precision(np.linspace(0.0, 0.4, 40), np.zeros(40, dtype=bool)) == 1.0


def test_forecasts_that_come_true_as_often_as_said_have_no_calibration_error() -> None:
    said = np.repeat([0.25, 0.75], 8)
    came = np.array([True, False, False, False] * 2 + [True, True, True, False] * 2)
    assert calibration_error(said, came) == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(said, ~came) == pytest.approx(0.5, rel=1e-12)


def test_a_certain_forecast_falls_into_the_last_bin() -> None:
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, False])) == 0.5


def test_an_impossible_outcome_costs_much_but_not_infinitely_much() -> None:
    probabilities = np.array([[0.0, 0.0, 1.0]], dtype=np.float32)
    measures = measure(probabilities, labels(UP))
    assert 30 < measures["three_class"]["log_loss"] < 40
    assert 30 < measures["non_flat"]["log_loss"] < 40


def test_a_day_on_which_nothing_moved_has_no_measure_of_direction() -> None:
    measures = measure(np.full((3, 3), 1 / 3, dtype=np.float32), labels(FLAT, FLAT, FLAT))
    assert measures["non_flat"]["trades"] == 0
    assert math.isnan(measures["non_flat"]["auc"])


def test_the_calibration_table_says_how_often_came_what_was_said() -> None:
    said = np.array([0.25, 0.25, 0.26, 0.25, 0.9])
    came = np.array([True, False, False, True, True])
    low, high = calibration_table(said, came)
    assert low == {"said": pytest.approx(0.2525), "happened": 0.5, "trades": 4}
    assert high == {"said": pytest.approx(0.9), "happened": 1.0, "trades": 1}


def test_the_calibration_error_is_that_of_the_table() -> None:
    random = np.random.default_rng(3)
    said = random.random(1000)
    came = random.random(1000) < said**2
    table = calibration_table(said, came)
    assert sum(row["trades"] for row in table) == 1000
    error = sum(abs(row["said"] - row["happened"]) * row["trades"] for row in table) / 1000
    assert calibration_error(said, came) == pytest.approx(error, rel=1e-12)
