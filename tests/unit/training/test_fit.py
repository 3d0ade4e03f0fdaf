from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from training.examples import DayExamples
from training.fit import FitSettings, fit, fit_scaler, fit_temperature
from udfs.scorer import probabilities

MakeDay = Callable[..., DayExamples]


def test_the_fit_learns_what_tells_the_direction(day_of: MakeDay, quick: FitSettings) -> None:
    fitted = fit([day_of(0), day_of(1)], [day_of(2)], quick)
    unseen = day_of(3)
    margins = fitted.booster.inplace_predict(fitted.scaler.transform(unseen.features), predict_type="margin")
    decided = probabilities(margins, fitted.temperature).argmax(axis=1)
    assert (decided == unseen.labels).mean() > 0.75


def test_the_same_days_and_seed_give_the_same_model_byte_for_byte(day_of: MakeDay, quick: FitSettings) -> None:
    first, second = (fit([day_of(0)], [day_of(1)], quick) for _ in range(2))
    assert first.booster.save_raw("ubj") == second.booster.save_raw("ubj")
    assert first.scaler == second.scaler
    assert first.temperature == second.temperature


def test_growing_stops_when_later_days_no_longer_gain(day_of: MakeDay) -> None:
    settings = FitSettings(rounds=200, max_depth=6, learning_rate=0.5, min_child_weight=0.1, threads=1)
    fitted = fit([day_of(0, trades=200, noise=2.0)], [day_of(1, noise=2.0)], settings)
    assert fitted.booster.num_boosted_rounds() < 50


def test_every_round_is_reported(day_of: MakeDay, quick: FitSettings) -> None:
    rounds = []
    fit([day_of(0)], [day_of(1)], quick, on_round=lambda: rounds.append(1))
    assert len(rounds) == quick.rounds


def test_tuning_on_a_day_that_is_not_later_is_refused(day_of: MakeDay, quick: FitSettings) -> None:
    with pytest.raises(ValueError, match="must be later"):
        fit([day_of(1)], [day_of(0)], quick)


def test_scaling_is_numpys_mean_and_deviation_of_the_known_values(day_of: MakeDay) -> None:
    days = [day_of(0), day_of(1)]
    scaler = fit_scaler(days)
    rows = np.concatenate([day.features for day in days]).astype(np.float64)
    np.testing.assert_allclose(scaler.mean, np.nanmean(rows, axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.scale[:2], np.nanstd(rows, axis=0)[:2], rtol=1e-9)


def test_a_feature_that_never_varies_is_not_divided_by_zero(day_of: MakeDay) -> None:
    assert fit_scaler([day_of(0)]).scale[2] == 1.0


def test_a_feature_that_is_always_missing_is_left_missing(day_of: MakeDay) -> None:
    day = day_of(0)
    day.features[:, 1] = np.nan
    scaler = fit_scaler([day])
    assert (scaler.mean[1], scaler.scale[1]) == (0.0, 1.0)


def test_the_temperature_undoes_margins_that_are_twice_too_sure() -> None:
    random = np.random.default_rng(5)
    honest = random.normal(size=(20_000, 3)).astype(np.float32)
    chances = probabilities(honest, 1.0).cumsum(axis=1)
    labels = (random.random((20_000, 1)) > chances).sum(axis=1).clip(0, 2).astype(np.int8)
    assert fit_temperature(honest * 2.0, labels) == pytest.approx(2.0, rel=0.05)
