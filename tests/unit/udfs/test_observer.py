from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from state.drift import P_UP, DriftBaseline
from state.tally import SIZE, measures
from training.drift import drift_baseline as distributions
from training.examples import DayExamples
from training.metrics import measure
from training.naive import measure_naive
from udfs.artifact import write_artifact
from udfs.manifest import BREADTH, CLASSES, LAST_MOVE, NaiveRates
from udfs.observer import DriftBaselines, Observer, drift_baseline

if TYPE_CHECKING:
    from pathlib import Path

    import xgboost

    from state.quality_watch import Part
    from udfs.manifest import Manifest, Scaler

NAMES = ("signal", LAST_MOVE, BREADTH)
MINUTE = 60_000


@pytest.fixture
def day() -> DayExamples:
    random = np.random.default_rng(4)
    features = np.column_stack(
        [random.normal(size=900), random.choice([-1.0, 0.0, 1.0, np.nan], 900), random.choice([-0.3, 0.0, 0.2], 900)]
    )
    return DayExamples(
        day=dt.date(2024, 7, 2),
        features=features.astype(np.float32),
        labels=random.integers(0, 3, 900).astype(np.int8),
        event_times=random.integers(0, 3 * MINUTE, 900),
        symbols=np.full(900, "NABIL"),
        volumes=np.full(900, 10),
    )


@pytest.fixture
def said() -> np.ndarray:
    return np.random.default_rng(5).dirichlet([1, 2, 1], 900).astype(np.float32)


@pytest.fixture
def told(manifest: Manifest, day: DayExamples, said: np.ndarray) -> Manifest:
    """A manifest that says all."""
    rates = NaiveRates(classes=(0.3, 0.4, 0.3), up_after_fall=0.6, up_after_none=0.5, up_after_rise=0.4)
    return manifest.model_copy(
        update={
            "feature_names": NAMES,
            "naive_rates": rates,
            "drift_baseline": distributions([day], NAMES, [said]),
        }
    )


def observed(manifest: Manifest, day: DayExamples, said: np.ndarray, rows: np.ndarray | slice) -> list[Part]:
    realised = [CLASSES[label] for label in day.labels[rows]]
    observer = Observer(manifest)
    return list(observer.observe("shadow", day.features[rows], said[rows], day.event_times[rows].tolist(), realised))


def test_outcomes_are_added_up_minute_by_minute(told: Manifest, day: DayExamples, said: np.ndarray) -> None:
    parts = observed(told, day, said, slice(None))
    assert sorted(part.minute for part in parts) == [0, 1, 2]
    assert sum(part.trades for part in parts) == 900
    assert {(part.version, part.role) for part in parts} == {("v1", "shadow")}


def test_all_parts_together_give_the_measures_of_evaluate(told: Manifest, day: DayExamples, said: np.ndarray) -> None:
    sums = np.zeros(SIZE, np.int64)
    for rows in np.array_split(np.random.default_rng(1).permutation(900), 23):
        for part in observed(told, day, said, rows):
            part.tally.add_to(sums)
    live, offline = measures(sums), measure(said, day.labels)
    assert live["trades"] == offline["trades"]
    assert live["non_flat"]["auc"] == pytest.approx(offline["non_flat"]["auc"], abs=1e-3)  # two of 900 in one bin
    assert live["non_flat"]["log_loss"] == pytest.approx(offline["non_flat"]["log_loss"], abs=1e-8)
    assert live["three_class"] == pytest.approx(offline["three_class"], abs=1e-8)
    assert live["ece_p_up"] == pytest.approx(offline["ece_p_up"], abs=1e-8)
    naive = measure_naive(told, [day], day.labels)
    assert live["baselines"] == {rule: {"accuracy": pytest.approx(naive[rule]["accuracy"])} for rule in naive}


def test_all_parts_together_are_distributed_as_what_they_were_made_of(
    told: Manifest, day: DayExamples, said: np.ndarray
) -> None:
    baseline = drift_baseline(told)
    assert baseline is not None
    assert baseline.names == (*NAMES, P_UP)
    counts = baseline.no_counts()
    for part in observed(told, day, said, slice(None)):
        part.counts.add_to(counts.reshape(-1))
    assert counts.sum(axis=1).tolist() == [900] * 4
    np.testing.assert_allclose(baseline.psi(counts), 0.0, atol=1e-3)


def test_a_version_without_a_baseline_counts_nothing(told: Manifest, day: DayExamples, said: np.ndarray) -> None:
    older = told.model_copy(update={"drift_baseline": {}})
    assert all(not len(part.counts.places) for part in observed(older, day, said, slice(None)))


def test_a_float32_value_falls_into_the_bin_of_its_double_precision_edges() -> None:
    edge = 0.1  # lies between two float32 numbers
    row = {"edges": [edge], "shares": [0.5, 0.5], "missing": 0.0}
    baseline = DriftBaseline({"features": {"x": row}, "probabilities": {"up": row}}, ("x",))
    below, above = np.nextafter(np.float32(edge), np.float32(0)), np.float32(edge)
    assert float(below) < edge <= float(above)
    counts = baseline.counts(np.array([[below], [above]], np.float32), np.array([below, above], np.float32))
    assert counts[:, :2].tolist() == [[1, 1], [1, 1]]


def test_baselines_are_read_from_the_versions_folder_while_it_is_there(
    tmp_path: Path, booster: xgboost.Booster, scaler: Scaler, told: Manifest, manifest: Manifest
) -> None:
    write_artifact(tmp_path, booster, scaler, told)
    write_artifact(tmp_path, booster, scaler, manifest.model_copy(update={"version": "older"}))
    baselines = DriftBaselines(tmp_path)
    found = baselines("v1")
    assert found is not None
    assert found.names == (*NAMES, P_UP)
    assert baselines("older") is None
    assert baselines("gone") is None
