"""The vectorized function that Flink calls to score: blocks of requests in, finished messages out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from pyflink.table import DataTypes, FunctionContext, ScalarFunction
from pyflink.table.udf import udf

from state.features import SCHEMA_HASH, complete
from state.records import outcome_record, prediction_record, to_json
from state.requests import Asked, read_block
from udfs.artifact import load_artifact
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

MESSAGES = DataTypes.ROW(
    [
        DataTypes.FIELD("predictions", DataTypes.ARRAY(DataTypes.STRING())),
        DataTypes.FIELD("outcomes", DataTypes.ARRAY(DataTypes.STRING())),
    ]
)
"""Per block: its predictions or its outcomes, each as the symbol, a tab and the message."""

ROLES = ("active", "shadow")


class _Part(NamedTuple):
    """Where a block's rows stand among all rows that one version scores."""

    block: int
    role: str
    start: int
    asked: list[Asked]


class ScoreTicks(ScalarFunction):  # type: ignore[misc]
    """Scores batches of requests; each model version is loaded and checked once a worker.

    Args:
        directory: Folder of the model versions.
        version: The version that scores first; it is loaded before the first request comes.
    """

    def __init__(self, directory: Path, version: str) -> None:
        self._directory = directory
        self._version = version

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - the engine's signature
        """Loads the first model and makes its first, slow call."""
        self._scorers: dict[str, Scorer] = {}
        self._scorer(self._version)

    def _scorer(self, version: str) -> Scorer:
        scorer = self._scorers.get(version)
        if scorer is None:
            scorer = self._scorers[version] = Scorer(load_artifact(self._directory, version, SCHEMA_HASH))
            scorer.warm_up()
        return scorer

    def eval(self, blocks: pd.Series[bytes]) -> pd.DataFrame:
        """Scores one batch.

        Args:
            blocks: Blocks of requests (`state.requests`).

        Returns:
            The columns of :data:`MESSAGES`, one row a block.
        """
        rows: dict[str, list[bytes]] = {}
        counts: dict[str, int] = {}
        parts: dict[str, list[_Part]] = {}
        for number, data in enumerate(blocks):
            block = read_block(data)
            for role, version in zip(ROLES, block.versions, strict=False):
                start = counts.get(version, 0)
                rows.setdefault(version, []).append(block.rows)
                counts[version] = start + len(block.asked)
                parts.setdefault(version, []).append(_Part(number, role, start, block.asked))
        predictions: list[list[str]] = [[] for _ in range(len(blocks))]
        outcomes: list[list[str]] = [[] for _ in range(len(blocks))]
        now = int(time.time() * 1000)
        for version, together in parts.items():
            scores = self._scorer(version).score(complete(b"".join(rows[version]), counts[version]))
            for part in together:
                _tell(part, version, scores, now, predictions[part.block], outcomes[part.block])
        return pd.DataFrame({"predictions": predictions, "outcomes": outcomes})


def _tell(
    part: _Part,
    version: str,
    scores: NDArray[np.float32],
    now: int,
    predictions: list[str],
    outcomes: list[str],
) -> None:
    """Writes a block's messages."""
    told: Sequence[Sequence[float]] = scores[part.start : part.start + len(part.asked)]  # type: ignore[assignment]
    for asked, chances in zip(part.asked, told, strict=True):
        if asked.outcome is None:
            record = prediction_record(asked.subject, chances, asked.market_time, version, part.role, SCHEMA_HASH, now)
            predictions.append(f"{asked.subject.symbol}\t{to_json(record)}")
        else:
            record = outcome_record(asked.subject, chances, asked.outcome, version, part.role)
            outcomes.append(f"{asked.subject.symbol}\t{to_json(record)}")


def score_ticks(directory: Path, version: str) -> object:
    """The function, for `create_temporary_function`."""
    return udf(ScoreTicks(directory, version), result_type=MESSAGES, func_type="pandas")
