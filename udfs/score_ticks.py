"""The vectorized function that Flink calls to score: a batch of feature rows in, a batch of predictions out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pyflink.table import DataTypes, FunctionContext, ScalarFunction
from pyflink.table.udf import udf

from state.features import SCHEMA_HASH
from udfs.artifact import load_artifact
from udfs.blocks import feature_block, no_snapshot
from udfs.manifest import CLASSES
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from pathlib import Path

SCORES = DataTypes.ROW(
    [
        DataTypes.FIELD("p_up", DataTypes.FLOAT()),
        DataTypes.FIELD("p_flat", DataTypes.FLOAT()),
        DataTypes.FIELD("p_down", DataTypes.FLOAT()),
        DataTypes.FIELD("direction", DataTypes.STRING()),
        DataTypes.FIELD("produced_at", DataTypes.BIGINT()),
    ]
)

_DIRECTIONS = np.array(CLASSES, dtype=object)


class ScoreTicks(ScalarFunction):  # type: ignore[misc]
    """Scores batches of ticks with one model version, loaded and checked once a worker.

    Args:
        directory: Folder of the model versions.
        version: The version that scores.
        group_count: Contract groups of the market.
    """

    def __init__(self, directory: Path, version: str, group_count: int) -> None:
        self._directory = directory
        self._version = version
        self._group_count = group_count

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - the engine's signature
        """Loads the model and makes its first, slow call."""
        self._scorer = Scorer(load_artifact(self._directory, self._version, SCHEMA_HASH))
        self._scorer.warm_up()
        self._no_snapshot = no_snapshot(self._group_count)

    def eval(self, features: pd.Series[bytes], snapshots: pd.Series[bytes]) -> pd.DataFrame:
        """Scores one batch.

        Args:
            features: Packed own blocks (`state.symbol_process.PACKED`).
            snapshots: Market blocks; null where a tick found none.

        Returns:
            The columns of :data:`SCORES`, one row a tick.
        """
        rows = len(features)
        packed = b"".join(features)
        blocks = b"".join([block if block is not None else self._no_snapshot for block in snapshots])
        scores = self._scorer.score(feature_block(packed, blocks, rows, self._group_count))
        return pd.DataFrame(
            {
                "p_up": scores[:, 0],
                "p_flat": scores[:, 1],
                "p_down": scores[:, 2],
                "direction": _DIRECTIONS[scores.argmax(axis=1)],
                "produced_at": np.full(rows, int(time.time() * 1000)),
            }
        )


def score_ticks(directory: Path, version: str, group_count: int) -> object:
    """The function, for `create_temporary_function`."""
    return udf(ScoreTicks(directory, version, group_count), result_type=SCORES, func_type="pandas")
