from __future__ import annotations

import numpy as np
import pytest

from training.intervals import day_intervals

UP, FLAT, DOWN = 0, 1, 2


def day(number: int, chance: float, trades: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A day on which the surely said direction comes with this chance."""
    random = np.random.default_rng(number)
    says_up = random.random(trades) < 0.5
    said = np.where(says_up[:, None], [0.6, 0.2, 0.2], [0.2, 0.2, 0.6]).astype(np.float32)
    right = random.random(trades) < chance
    return said, np.where(says_up == right, UP, DOWN).astype(np.int8)


def interval_of(*days: tuple[np.ndarray, np.ndarray]) -> list[float]:
    said, labels = zip(*days, strict=True)
    intervals = day_intervals(said, labels)
    assert intervals is not None
    return intervals["non_flat"]["accuracy"]


def test_one_day_says_nothing_about_others() -> None:
    said, labels = day(0, 0.7)
    assert day_intervals([said], [labels]) is None


def test_the_interval_is_that_of_the_normal_distribution_where_days_are_many() -> None:
    days = [day(number, 0.7) for number in range(60)]
    lower, upper = interval_of(*days)
    accuracies = [(said[:, UP] > 0.5) == (labels == UP) for said, labels in days]
    spread = np.std([one.mean() for one in accuracies], ddof=1) / np.sqrt(60)
    center = np.mean(accuracies)
    assert lower == pytest.approx(center - 1.96 * spread, abs=0.3 * spread)
    assert upper == pytest.approx(center + 1.96 * spread, abs=0.3 * spread)


def test_days_that_differ_make_the_interval_wide_however_many_trades_they_have() -> None:
    lower, upper = interval_of(*(day(number, chance, trades=4000) for number, chance in enumerate([0.5, 0.9] * 4)))
    assert lower < 0.65
    assert upper > 0.75


def test_every_measure_has_its_interval_and_the_same_data_the_same_one() -> None:
    said, labels = zip(*(day(number, 0.7) for number in range(5)), strict=True)
    intervals = day_intervals(said, labels)
    assert intervals == day_intervals(said, labels)
    assert set(intervals["non_flat"]) == {"auc", "accuracy", "log_loss", "top_decile_precision"}
    assert set(intervals["three_class"]) == {"log_loss", "macro_f1", "accuracy"}
    assert intervals["ece_p_up"][0] <= intervals["ece_p_up"][1]
