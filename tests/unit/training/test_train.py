from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.evaluate import SIGN_BASELINES, evaluate
from training.examples import DayExamples
from training.train import Features, measure_walk_forward, train
from udfs.artifact import load_artifact, write_artifact

if TYPE_CHECKING:
    from pathlib import Path

    from training.fit import FitSettings

MakeDay = Callable[..., DayExamples]
FEATURES = Features(names=("signal", *SIGN_BASELINES.values()), schema="abc123")


def test_a_version_that_is_written_scores_the_same_when_loaded(
    tmp_path: Path, day_of: MakeDay, quick: FitSettings
) -> None:
    trained = train([day_of(0), day_of(1)], FEATURES, "v1", quick)
    write_artifact(tmp_path, trained.booster, trained.scaler, trained.manifest)
    loaded = load_artifact(tmp_path, "v1", FEATURES.schema)
    assert evaluate(loaded, [day_of(2)]) == evaluate(trained, [day_of(2)])


def test_the_manifest_names_every_day_the_version_has_seen(day_of: MakeDay, quick: FitSettings) -> None:
    manifest = train([day_of(0), day_of(1), day_of(4)], FEATURES, "v1", quick, git_revision="c0ffee").manifest
    window = manifest.training_window
    assert (window.first_day, window.last_day) == ("2024-06-02", "2024-06-06")
    assert (window.fit_days, window.tuning_days) == (("2024-06-02", "2024-06-03"), ("2024-06-06",))
    assert window.trades == 1800
    assert manifest.git_revision == "c0ffee"
    assert manifest.metrics["tuning_days"]["days"] == 1
    assert set(manifest.drift_baseline["features"]) == set(FEATURES.names)


def test_days_are_measured_together_and_one_by_one(day_of: MakeDay, quick: FitSettings) -> None:
    artifact = train([day_of(0), day_of(1)], FEATURES, "v1", quick)
    measures = evaluate(artifact, [day_of(2, trades=300), day_of(3, trades=100)])
    assert (measures["trades"], measures["days"]) == (400, 2)
    assert [(day["day"], day["trades"]) for day in measures["by_day"]] == [("2024-06-04", 300), ("2024-06-05", 100)]
    accuracies = [day["three_class"]["accuracy"] for day in measures["by_day"]]
    assert measures["three_class"]["accuracy"] == pytest.approx((300 * accuracies[0] + 100 * accuracies[1]) / 400)
    assert measures["non_flat"]["auc"] > 0.9


def test_a_sign_that_tells_the_direction_is_a_good_baseline_and_a_constant_one_none(
    day_of: MakeDay, quick: FitSettings
) -> None:
    artifact = train([day_of(0), day_of(1)], FEATURES, "v1", quick)
    baselines = evaluate(artifact, [day_of(2)])["baselines"]
    assert baselines["last_move_sign"]["accuracy"] > 0.8
    assert baselines["market_breadth_sign"]["auc"] == 0.5  # the same sign for every trade
    assert 0.4 < baselines["majority"]["accuracy"] < 0.6


def test_a_walk_forward_measures_only_days_its_versions_have_not_seen(day_of: MakeDay, quick: FitSettings) -> None:
    steps = list(measure_walk_forward([day_of(i) for i in range(5)], FEATURES, quick, 2))
    assert [(step["seen"], [day["day"] for day in step["by_day"]]) for step in steps] == [
        ("2024-06-04", ["2024-06-05"]),
        ("2024-06-05", ["2024-06-06"]),
    ]


def test_a_day_is_loaded_as_it_was_saved(tmp_path: Path, day_of: MakeDay) -> None:
    day = day_of(0)
    loaded = DayExamples.load(day.save(tmp_path))
    assert (loaded.day, len(loaded)) == (day.day, 600)
    np.testing.assert_array_equal(loaded.features, day.features)
    assert loaded.symbols.tolist() == day.symbols.tolist()
