"""The model version that comes with the project."""

from __future__ import annotations

import numpy as np

from jobs.settings import ModelSettings
from state.features import FEATURE_COUNT, FEATURE_NAMES, SCHEMA_HASH
from udfs.artifact import active_version, load_artifact
from udfs.scorer import Scorer


def test_the_shipped_version_fits_the_features_that_the_code_computes() -> None:
    directory = ModelSettings().directory
    artifact = load_artifact(directory, active_version(directory), SCHEMA_HASH)
    assert artifact.manifest.feature_names == FEATURE_NAMES
    scores = Scorer(artifact).score(np.full((2, FEATURE_COUNT), np.nan, dtype=np.float32))
    assert np.isfinite(scores).all()
