from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from training.drift import drift_baseline
from training.examples import DayExamples


def day_with(*columns: np.ndarray) -> DayExamples:
    trades = len(columns[0])
    return DayExamples(
        day=date(2024, 6, 2),
        features=np.column_stack(columns).astype(np.float32),
        labels=np.tile([0, 1, 1, 2], trades // 4).astype(np.int8),
        event_times=np.arange(trades),
        symbols=np.full(trades, "NABIL"),
        volumes=np.full(trades, 10),
    )


def baseline_of(*columns: np.ndarray) -> dict:
    names = [f"feature_{i}" for i in range(len(columns))]
    return drift_baseline([day_with(*columns)], names, [np.full((8, 3), 1 / 3, dtype=np.float32)])


def test_a_varied_feature_has_ten_bins_of_equal_share() -> None:
    feature = baseline_of(np.arange(1000.0))["features"]["feature_0"]
    assert len(feature["edges"]) == 9
    assert feature["shares"] == pytest.approx([0.1] * 10, abs=0.002)
    assert feature["missing"] == 0.0


def test_what_is_missing_has_a_share_of_its_own() -> None:
    values = np.arange(100.0)
    values[:25] = np.nan
    feature = baseline_of(values)["features"]["feature_0"]
    assert feature["missing"] == 0.25
    assert sum(feature["shares"]) == pytest.approx(1.0)


def test_a_feature_of_two_values_keeps_their_shares() -> None:
    feature = baseline_of(np.repeat([-1.0, 1.0], [25, 75]))["features"]["feature_0"]
    assert feature["edges"] == [-1.0, 1.0]
    assert feature["shares"] == [0.0, 0.25, 0.75]


def test_a_feature_that_is_always_missing_has_no_bins() -> None:
    feature = baseline_of(np.full(8, np.nan))["features"]["feature_0"]
    assert feature == {"edges": [], "shares": [], "missing": 1.0, "ordinary_psi": 0.0}


def test_the_shares_of_the_classes_are_kept_by_name() -> None:
    assert baseline_of(np.arange(8.0))["labels"] == {"up": 0.25, "flat": 0.5, "down": 0.25}


def ordinary(*means: float) -> float:
    random = np.random.default_rng(2)
    days = [day_with(random.normal(mean, size=20_000)) for mean in means]
    return drift_baseline(days, ["x"], [np.full((8, 3), 1 / 3, dtype=np.float32)])["features"]["x"]["ordinary_psi"]


def test_what_is_ordinary_is_how_far_a_day_went_from_the_others() -> None:
    assert ordinary(0.0, 0.0, 0.0) < 0.02
    # The index of normal distributions of one width is the square of the distance of their means.
    assert ordinary(0.0, 0.0, 0.5) == pytest.approx(0.25, abs=0.03)


def test_of_many_days_the_strangest_is_not_ordinary() -> None:
    assert ordinary(*[0.0] * 8, 3.0) > 1.0
    assert ordinary(*[0.0] * 9, 3.0) < 0.3  # the strange one is still among the others
