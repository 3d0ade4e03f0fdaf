"""The vectorized function that Flink calls to score: blocks of requests in, finished messages out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from pyflink.table import DataTypes, FunctionContext, ScalarFunction
from pyflink.table.udf import udf

from state.features import SCHEMA_HASH, complete
from state.quality_watch import pack_parts
from state.records import keyed_json, outcome_record, prediction_record
from state.requests import Asked, read_blocks
from udfs.artifact import load_artifact
from udfs.observer import Observer
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from state.quality_watch import Part
    from state.records import KeyedJson
    from udfs.artifact import Artifact

_KEYED_JSON = DataTypes.ARRAY(
    DataTypes.ROW([DataTypes.FIELD("message_key", DataTypes.BYTES()), DataTypes.FIELD("message", DataTypes.BYTES())])
)

ANSWERS = DataTypes.ROW(
    [
        DataTypes.FIELD("predictions", _KEYED_JSON),
        DataTypes.FIELD("outcomes", _KEYED_JSON),
        DataTypes.FIELD("observed", DataTypes.BYTES()),
    ]
)
"""Per element: its predictions and its outcomes, finished messages with their keys. With the first element of a batch:
what the batch's outcomes add to the live scores (`state.quality_watch`), if there are any."""

ROLES = ("active", "shadow")


_MOST_KNOWN = 500_000
"""Predictions that a version remembers until their outcomes come; with more of them waiting it forgets them all."""


class _Span(NamedTuple):
    """What one version scores of a block.

    Attributes:
        element: The number in the batch of the element that the block came in.
        role: The version's part.
        asked: The requests: either predictions or outcomes.
        features: Shape (requests, features).
    """

    element: int
    role: str
    asked: list[Asked]
    features: NDArray[np.float32]

    @property
    def is_judged(self) -> bool:
        """Whether these are outcomes."""
        return self.asked[0].outcome is not None


class _Version:
    """A model version at work.

    What it said of a tick is remembered until the tick's outcome asks for it again, a minute later.

    Args:
        artifact: The version.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._scorer = Scorer(artifact)
        self._scorer.warm_up()
        self.observer = Observer(artifact.manifest)
        self._known: dict[tuple[int, int], bytes] = {}

    def score(self, spans: Sequence[_Span]) -> list[NDArray[np.float32]]:
        """Probabilities of each span's requests, shape (requests, 3)."""
        scores = [self._recall(span) if span.is_judged else None for span in spans]
        unknown = [number for number, known in enumerate(scores) if known is None]
        if unknown:
            together = self._scorer.score(np.concatenate([spans[number].features for number in unknown]))
            end = 0
            for number in unknown:
                start, end = end, end + len(spans[number].asked)
                scores[number] = together[start:end]
                if not spans[number].is_judged:
                    self._remember(spans[number], together[start:end])
        return scores  # type: ignore[return-value] # none is left unknown

    def _remember(self, span: _Span, scores: NDArray[np.float32]) -> None:
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        rows, width = scores.tobytes(), scores.itemsize * scores.shape[1]
        for number, one in enumerate(span.asked):
            self._known[one.subject.position] = rows[number * width : (number + 1) * width]

    def _recall(self, span: _Span) -> NDArray[np.float32] | None:
        """What was said of these ticks; None if that is not known of each."""
        known = [self._known.pop(one.subject.position, b"") for one in span.asked]
        if not all(known):
            return None
        return np.frombuffer(b"".join(known), np.float32).reshape(len(known), -1)


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
            found = self._versions[version] = _Version(load_artifact(self._directory, version, SCHEMA_HASH))
        return found

    def eval(self, elements: pd.Series[bytes]) -> pd.DataFrame:
        """Scores one batch.

        Args:
            elements: Packed blocks of requests (`state.requests`).

        Returns:
            The columns of :data:`ANSWERS`, one row an element.
        """
        by_version: dict[str, list[_Span]] = {}
        for number, data in enumerate(elements):
            for block in read_blocks(data):
                features = complete(block.rows, len(block.asked))
                for role, version in zip(ROLES, block.versions, strict=False):
                    by_version.setdefault(version, []).append(_Span(number, role, block.asked, features))
        predictions: list[list[KeyedJson]] = [[] for _ in range(len(elements))]
        outcomes: list[list[KeyedJson]] = [[] for _ in range(len(elements))]
        observed: list[Part] = []
        now = int(time.time() * 1000)
        for version, spans in by_version.items():
            at_work = self._at_work(version)
            scores = at_work.score(spans)
            for span, said in zip(spans, scores, strict=True):
                if span.is_judged:
                    outcomes[span.element] += _outcomes(span, said, version)
                else:
                    predictions[span.element] += _predictions(span, said, version, now)
            observed += _observe(at_work.observer, spans, scores)
        added: list[bytes | None] = [None] * len(elements)
        if observed:
            added[0] = pack_parts(observed)
        return pd.DataFrame({"predictions": predictions, "outcomes": outcomes, "observed": added})


def _observe(observer: Observer, spans: Sequence[_Span], scores: Sequence[NDArray[np.float32]]) -> Iterator[Part]:
    """Adds up the outcomes among what one version has scored."""
    for role in ROLES:
        judged = [number for number, span in enumerate(spans) if span.role == role and span.is_judged]
        if judged:
            asked = [one for number in judged for one in spans[number].asked]
            times = [one.subject.event_time for one in asked]
            realised = [one.outcome[1] for one in asked if one.outcome is not None]
            features = np.concatenate([spans[number].features for number in judged])
            said = np.concatenate([scores[number] for number in judged])
            yield from observer.observe(role, features, said, times, realised)


def _predictions(span: _Span, scores: NDArray[np.float32], version: str, now: int) -> Iterator[KeyedJson]:
    for asked, chances in zip(span.asked, _rows(scores), strict=True):
        record = prediction_record(
            asked.subject, chances, asked.market_time, version, span.role, SCHEMA_HASH, now, asked.conflated
        )
        yield keyed_json(asked.subject.symbol, record)


def _outcomes(span: _Span, scores: NDArray[np.float32], version: str) -> Iterator[KeyedJson]:
    for asked, chances in zip(span.asked, _rows(scores), strict=True):
        assert asked.outcome is not None  # noqa: S101 - a span is of one kind
        record = outcome_record(asked.subject, chances, asked.outcome, version, span.role)
        yield keyed_json(asked.subject.symbol, record)


def _rows(scores: NDArray[np.float32]) -> Sequence[Sequence[float]]:
    return scores  # type: ignore[return-value] # float32 is written with as few digits as tell it


def score_ticks(directory: Path, version: str) -> object:
    """The function, for `create_temporary_function`."""
    return udf(ScoreTicks(directory, version), result_type=ANSWERS, func_type="pandas")
