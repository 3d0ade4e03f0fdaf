from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import xgboost

from state.features import FEATURE_COUNT
from tests.models import write_version
from udfs.manifest import CLASSES

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
        write_version(directory, version, booster, len(rows))
    return directory
