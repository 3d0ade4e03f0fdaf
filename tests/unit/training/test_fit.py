from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xgboost

from training.examples import DayExamples
from training.fit import FitSettings, fit, fit_scaler, fit_temperature, refit
from udfs.scorer import probabilities

MakeDay = Callable[..., DayExamples]
ROWS = ("features", "labels", "event_times", "symbols", "volumes")


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


def test_growing_anew_takes_the_newest_days_in_and_keeps_rounds_scaling_and_temperature(
    day_of: MakeDay, quick: FitSettings
) -> None:
    fitted = fit([day_of(0)], [day_of(1)], quick)
    # On the newest days the signal tells the opposite: only trees that have seen them know.
    turned = [replace(day, labels=2 - day.labels) for day in (day_of(2), day_of(3), day_of(4))]
    again = refit(fitted, [day_of(0), *turned], quick)
    assert again.booster.num_boosted_rounds() == fitted.booster.num_boosted_rounds()
    assert (again.scaler, again.temperature) == (fitted.scaler, fitted.temperature)
    unseen = replace(day_of(5), labels=2 - day_of(5).labels)
    right = []
    for one in (fitted, again):
        margins = one.booster.inplace_predict(one.scaler.transform(unseen.features), predict_type="margin")
        right.append((margins.argmax(axis=1) == unseen.labels).mean())
    assert right[0] < 0.4
    assert right[1] > 0.6


def test_older_days_are_thinned_out_and_newer_ones_are_not(day_of: MakeDay, quick: FitSettings) -> None:
    days = [day_of(number) for number in range(4)]
    thin = replace(quick, recent_days=2, older_step=3)
    fitted = fit(days[:3], days[3:], thin)
    by_hand = [replace(days[0], **{name: getattr(days[0], name)[::3] for name in ROWS}), *days[1:3]]
    trees = xgboost.train(
        quick.parameters(),
        xgboost.QuantileDMatrix(
            np.concatenate([fitted.scaler.transform(day.features) for day in by_hand]),
            np.concatenate([day.labels for day in by_hand]),
            max_bin=quick.bins,
            nthread=1,
        ),
        num_boost_round=fitted.booster.num_boosted_rounds(),
    )
    scaled = fitted.scaler.transform(days[3].features)
    np.testing.assert_allclose(trees.inplace_predict(scaled), fitted.booster.inplace_predict(scaled), atol=0.02)
