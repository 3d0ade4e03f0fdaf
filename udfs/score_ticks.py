"""The vectorized function that Flink calls to score: blocks of requests in, finished messages out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from pyflink.common import Types
from pyflink.table import DataTypes, FunctionContext, ScalarFunction
from pyflink.table.udf import udf

from state.features import SCHEMA_HASH, complete
from state.quality_watch import pack_parts
from state.records import outcome_record, prediction_record, to_json
from state.requests import Asked, read_block
from state.symbol_process import BYTES
from udfs.artifact import load_artifact
from udfs.observer import Observer
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from state.quality_watch import Part

MESSAGES = DataTypes.ROW(
    [
        DataTypes.FIELD("predictions", DataTypes.ARRAY(DataTypes.STRING())),
        DataTypes.FIELD("outcomes", DataTypes.ARRAY(DataTypes.STRING())),
        DataTypes.FIELD("observed", DataTypes.BYTES()),
    ]
)
"""Per block: its predictions or its outcomes, each as the symbol, a tab and the message. With the first block of a
batch: what the batch's outcomes add to the live scores (`state.quality_watch`), if there are any."""

SCORED = Types.ROW([Types.OBJECT_ARRAY(Types.STRING()), Types.OBJECT_ARRAY(Types.STRING()), BYTES])
"""The same as a stream's rows."""

ROLES = ("active", "shadow")


class _Version(NamedTuple):
    """A model version at work."""

    scorer: Scorer
    observer: Observer


class _Span(NamedTuple):
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
        self._versions: dict[str, _Version] = {}
        self._at_work(self._version)

    def _at_work(self, version: str) -> _Version:
        found = self._versions.get(version)
        if found is None:
            artifact = load_artifact(self._directory, version, SCHEMA_HASH)
            found = self._versions[version] = _Version(Scorer(artifact), Observer(artifact.manifest))
            found.scorer.warm_up()
        return found

    def eval(self, blocks: pd.Series[bytes]) -> pd.DataFrame:
        """Scores one batch.

        Args:
            blocks: Blocks of requests (`state.requests`).

        Returns:
            The columns of :data:`MESSAGES`, one row a block.
        """
        rows: dict[str, list[bytes]] = {}
        counts: dict[str, int] = {}
        spans: dict[str, list[_Span]] = {}
        for number, data in enumerate(blocks):
            block = read_block(data)
            for role, version in zip(ROLES, block.versions, strict=False):
                start = counts.get(version, 0)
                rows.setdefault(version, []).append(block.rows)
                counts[version] = start + len(block.asked)
                spans.setdefault(version, []).append(_Span(number, role, start, block.asked))
        predictions: list[list[str]] = [[] for _ in range(len(blocks))]
        outcomes: list[list[str]] = [[] for _ in range(len(blocks))]
        observed: list[Part] = []
        now = int(time.time() * 1000)
        for version, together in spans.items():
            scorer, observer = self._at_work(version)
            features = complete(b"".join(rows[version]), counts[version])
            scores = scorer.score(features)
            for span in together:
                _tell(span, version, scores, now, predictions[span.block], outcomes[span.block])
            observed += _observe(observer, together, features, scores)
        added: list[bytes | None] = [None] * len(blocks)
        if observed:
            added[0] = pack_parts(observed)
        return pd.DataFrame({"predictions": predictions, "outcomes": outcomes, "observed": added})


def _observe(
    observer: Observer, spans: Sequence[_Span], features: NDArray[np.float32], scores: NDArray[np.float32]
) -> Iterator[Part]:
    """Adds up the outcomes among the rows that one version has scored."""
    for role in ROLES:
        judged = [span for span in spans if span.role == role and span.asked[0].outcome is not None]
        if judged:
            rows = np.concatenate([np.arange(span.start, span.start + len(span.asked)) for span in judged])
            asked = [one for span in judged for one in span.asked]
            times = [one.subject.event_time for one in asked]
            realised = [one.outcome[1] for one in asked if one.outcome is not None]
            yield from observer.observe(role, features[rows], scores[rows], times, realised)


def _tell(
    span: _Span,
    version: str,
    scores: NDArray[np.float32],
    now: int,
    predictions: list[str],
    outcomes: list[str],
) -> None:
    """Writes a block's messages."""
    told: Sequence[Sequence[float]] = scores[span.start : span.start + len(span.asked)]  # type: ignore[assignment]
    for asked, chances in zip(span.asked, told, strict=True):
        if asked.outcome is None:
            record = prediction_record(
                asked.subject, chances, asked.market_time, version, span.role, SCHEMA_HASH, now, asked.conflated
            )
            predictions.append(f"{asked.subject.symbol}\t{to_json(record)}")
        else:
            record = outcome_record(asked.subject, chances, asked.outcome, version, span.role)
            outcomes.append(f"{asked.subject.symbol}\t{to_json(record)}")


def score_ticks(directory: Path, version: str) -> object:
    """The function, for `create_temporary_function`."""
    return udf(ScoreTicks(directory, version), result_type=MESSAGES, func_type="pandas")
