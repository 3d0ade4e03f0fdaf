"""The vectorized function that scores: model versions and rows of features in, probabilities out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pyflink.table import DataTypes, FunctionContext, ScalarFunction
from pyflink.table.udf import udf

from state.features import FEATURE_COUNT, SCHEMA_HASH
from udfs.artifact import load_artifact
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from pathlib import Path


class ScoreTicks(ScalarFunction):  # type: ignore[misc]
    """Scores batches of rows; each model version is loaded and checked once a worker.

    Args:
        directory: Folder of the model versions.
        version: The version that scores first; it is loaded before the first batch comes.
    """

    def __init__(self, directory: Path, version: str) -> None:
        self._directory = directory
        self._version = version

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - the engine's signature
        """Loads the first model and makes its first, slow call.

        Raises:
            ArtifactError: If the version does not fit.
        """
        self._scorers: dict[str, Scorer] = {}
        self._scorer(self._version)

    def eval(self, versions: pd.Series[str], features: pd.Series[bytes]) -> pd.Series[bytes]:
        """Scores one batch, with one call of XGBoost for each version in it; see `state.scoring.VectorizedModel.eval`.

        Raises:
            ArtifactError: If there is no such version, or it does not fit.
        """
        elements = features.tolist()
        by_version: dict[str, list[int]] = {}
        for number, version in enumerate(versions):
            by_version.setdefault(version, []).append(number)
        answers = [b""] * len(elements)
        for version, numbers in by_version.items():
            rows = [np.frombuffer(elements[number], np.float32).reshape(-1, FEATURE_COUNT) for number in numbers]
            scores = self._scorer(version).score(rows[0] if len(rows) == 1 else np.concatenate(rows))
            end = 0
            for number, block in zip(numbers, rows, strict=True):
                start, end = end, end + len(block)
                answers[number] = scores[start:end].tobytes()
        return pd.Series(answers)

    def _scorer(self, version: str) -> Scorer:
        found = self._scorers.get(version)
        if found is None:
            found = self._scorers[version] = Scorer(load_artifact(self._directory, version, SCHEMA_HASH))
            found.warm_up()
        return found


def score_ticks(directory: Path, version: str) -> object:
    """The function as SQL calls it: `score_ticks(model_version, features)`, for `create_temporary_function`.

    Args:
        directory: Folder of the model versions.
        version: The version that is loaded before the first batch comes.
    """
    return udf(ScoreTicks(directory, version), result_type=DataTypes.BYTES(), func_type="pandas")
