from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xgboost

from state.features import FEATURE_COUNT, FEATURE_NAMES, SCHEMA_HASH
from udfs.artifact import write_artifact
from udfs.manifest import CLASSES, Calibration, Manifest, Scaler, TrainingWindow

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def model_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the versions v1 and v2 for the features of now, which say different things."""
    random = np.random.default_rng(1)
    rows = random.normal(size=(200, FEATURE_COUNT)).astype(np.float32)
    directory = tmp_path_factory.mktemp("models")
    for version in ("v1", "v2"):
        booster = xgboost.train(
            {"objective": "multi:softprob", "num_class": len(CLASSES), "max_depth": 2, "nthread": 1},
            xgboost.DMatrix(rows, random.integers(0, len(CLASSES), 200)),
            num_boost_round=2,
        )
        scaler = Scaler(mean=(0.0,) * FEATURE_COUNT, scale=(1.0,) * FEATURE_COUNT)
        write_artifact(directory, booster, scaler, _manifest(version, len(rows)))
    return directory


def _manifest(version: str, trades: int) -> Manifest:
    return Manifest(
        version=version,
        created=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        files={},
        feature_names=FEATURE_NAMES,
        feature_schema=SCHEMA_HASH,
        classes=CLASSES,
        training_window=TrainingWindow(
            first_day="2024-01-01", last_day="2024-01-01", fit_days=(), tuning_days=(), trades=trades
        ),
        calibration=Calibration(temperature=1.2),
        parameters={},
        metrics={},
        drift_baseline={},
    )
