from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from training.evaluate import evaluate
from training.examples import DayExamples
from training.train import Features, measure_walk_forward, train
from udfs.artifact import load_artifact, write_artifact
from udfs.manifest import BREADTH, LAST_MOVE

if TYPE_CHECKING:
    from pathlib import Path

    from training.fit import FitSettings

MakeDay = Callable[..., DayExamples]
FEATURES = Features(names=("signal", LAST_MOVE, BREADTH), schema="abc123")
ZONE = ZoneInfo("Asia/Kathmandu")


def test_a_version_that_is_written_scores_the_same_when_loaded(
    tmp_path: Path, day_of: MakeDay, quick: FitSettings
) -> None:
    trained = train([day_of(0), day_of(1)], FEATURES, "v1", quick, ZONE)
    write_artifact(tmp_path, trained.booster, trained.scaler, trained.manifest)
    loaded = load_artifact(tmp_path, "v1", FEATURES.schema)
    assert evaluate(loaded, [day_of(2)], ZONE) == evaluate(trained, [day_of(2)], ZONE)


def test_the_manifest_names_every_day_the_version_has_seen(day_of: MakeDay, quick: FitSettings) -> None:
    manifest = train([day_of(0), day_of(1), day_of(4)], FEATURES, "v1", quick, ZONE, git_revision="c0ffee").manifest
    window = manifest.training_window
    assert (window.first_day, window.last_day) == ("2024-06-02", "2024-06-06")
    assert (window.fit_days, window.tuning_days) == (("2024-06-02", "2024-06-03"), ("2024-06-06",))
    assert window.trades == 1800
    assert manifest.git_revision == "c0ffee"
    assert manifest.metrics["tuning_days"]["days"] == 1
    assert set(manifest.drift_baseline["features"]) == set(FEATURES.names)


def test_days_are_measured_together_and_one_by_one(day_of: MakeDay, quick: FitSettings) -> None:
    artifact = train([day_of(0), day_of(1)], FEATURES, "v1", quick, ZONE)
    measures = evaluate(artifact, [day_of(2, trades=300), day_of(3, trades=100)], ZONE)
    assert (measures["trades"], measures["days"]) == (400, 2)
    assert [(day["day"], day["trades"]) for day in measures["by_day"]] == [("2024-06-04", 300), ("2024-06-05", 100)]
    accuracies = [day["three_class"]["accuracy"] for day in measures["by_day"]]
    assert measures["three_class"]["accuracy"] == pytest.approx((300 * accuracies[0] + 100 * accuracies[1]) / 400)
    assert measures["non_flat"]["auc"] > 0.9


def test_a_walk_forward_measures_only_days_its_versions_have_not_seen(day_of: MakeDay, quick: FitSettings) -> None:
    walk = measure_walk_forward([day_of(i) for i in range(5)], FEATURES, quick, 2, ZONE)
    assert walk["steps"] == [
        {"seen": "2024-06-04", "first_day": "2024-06-05", "last_day": "2024-06-05"},
        {"seen": "2024-06-05", "first_day": "2024-06-06", "last_day": "2024-06-06"},
    ]
    assert [day["day"] for day in walk["by_day"]] == ["2024-06-05", "2024-06-06"]
    assert walk["trades"] == 1200


def test_a_day_is_loaded_as_it_was_saved(tmp_path: Path, day_of: MakeDay) -> None:
    day = day_of(0)
    loaded = DayExamples.load(day.save(tmp_path))
    assert (loaded.day, len(loaded)) == (day.day, 600)
    np.testing.assert_array_equal(loaded.features, day.features)
    assert loaded.symbols.tolist() == day.symbols.tolist()
