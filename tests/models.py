"""Model versions that tests make for themselves."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from state.features import FEATURE_COUNT, FEATURE_NAMES, SCHEMA_HASH
from udfs.artifact import write_artifact
from udfs.manifest import CLASSES, Calibration, Manifest, Scaler, TrainingWindow

if TYPE_CHECKING:
    from pathlib import Path

    import xgboost


def write_version(directory: Path, version: str, booster: xgboost.Booster, trades: int) -> None:
    """Writes trees that were grown on so many rows of the features of now as a version, unscaled."""
    manifest = Manifest(
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
    scaler = Scaler(mean=(0.0,) * FEATURE_COUNT, scale=(1.0,) * FEATURE_COUNT)
    write_artifact(directory, booster, scaler, manifest)
