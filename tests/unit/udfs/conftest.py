from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
import xgboost

from udfs.manifest import CLASSES, Calibration, Manifest, Scaler, TrainingWindow

FEATURES = 7


@pytest.fixture(scope="session")
def booster() -> xgboost.Booster:
    """Trees that learnt the sign of the first column, with gaps in the data."""
    random = np.random.default_rng(11)
    rows = random.normal(size=(3000, FEATURES)).astype(np.float32)
    labels = np.digitize(-rows[:, 0] + random.normal(scale=0.5, size=3000), [-0.4, 0.4])
    rows[random.random(rows.shape) < 0.05] = np.nan
    return xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "max_depth": 4, "nthread": 1, "seed": 1},
        xgboost.DMatrix(rows, labels),
        num_boost_round=20,
    )


@pytest.fixture
def scaler() -> Scaler:
    return Scaler(mean=(0.0,) * FEATURES, scale=(1.0,) * FEATURES)


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        version="v1",
        created=datetime(2024, 7, 1, tzinfo=UTC),
        files={},
        feature_names=tuple(f"feature_{i}" for i in range(FEATURES)),
        feature_schema="abc123",
        classes=CLASSES,
        training_window=TrainingWindow(
            first_day="2024-04-10",
            last_day="2024-06-20",
            fit_days=("2024-04-10",),
            tuning_days=("2024-06-20",),
            trades=3000,
        ),
        calibration=Calibration(temperature=1.3),
        parameters={"seed": 1},
        metrics={"trades": 1},
        drift_baseline={},
    )
