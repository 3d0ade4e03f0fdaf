"""What a bundle's requests become: the model's answers to all of them at once, as finished messages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from state.features import SCHEMA_HASH, complete
from state.quality_watch import pack_parts
from state.records import keyed_json, outcome_record, prediction_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from state.outcomes import Realised
    from state.quality_watch import Part
    from state.records import KeyedJson
    from state.requests import Request

ROLES = ("active", "shadow")
"""Parts of a request's model versions, in their order."""

_CLASSES = 3


class VectorizedModel(Protocol):
    """A vectorized function of Flink's that scores rows of features with a model version."""

    def open(self, function_context: Any) -> None:
        """Called once, before the first batch."""

    def eval(self, versions: pd.Series[str], features: pd.Series[bytes]) -> pd.Series[bytes]:
        """Scores a batch.

        Args:
            versions: Per element, the name of a model version.
            features: Per element any number of rows, `FEATURE_COUNT` float32 each, one behind the other.

        Returns:
            Per element the rows' probabilities of up, flat and down, float32, one behind the other.
        """


class OutcomesObserver(Protocol):
    """Adds up what the outcomes of one model version give its live score and its drift."""

    def observe(
        self,
        role: str,
        block: NDArray[np.float32],
        scores: NDArray[np.float32],
        event_times: Sequence[int],
        realised: Sequence[str],
    ) -> Iterator[Part]:
        """What some outcomes add, minute by minute."""


class Answers(NamedTuple):
    """What a bundle's requests become.

    Attributes:
        predictions: Finished messages with their keys.
        outcomes: The same of the outcomes.
        observed: What the outcomes add to the live scores (`state.quality_watch`); None: nothing.
    """

    predictions: list[KeyedJson]
    outcomes: list[KeyedJson]
    observed: bytes | None


class Scoring:
    """Asks the model once for all requests of a bundle, and writes its answers' messages.

    Args:
        model: The vectorized function that scores.
        observers: Finds the observer of a model version.
    """

    def __init__(self, model: VectorizedModel, observers: Callable[[str], OutcomesObserver]) -> None:
        self._model = model
        self._observers = observers

    def open(self, runtime_context: Any) -> None:
        """Opens the model; called once a worker, before its first tick."""
        self._model.open(runtime_context)

    def answer(self, asked: Sequence[Request], judged: Sequence[tuple[Request, Realised]]) -> Answers:
        """Scores what has not been scored yet, and tells.

        Args:
            asked: Answered requests whose predictions are to be told.
            judged: Answered requests whose minute is over, and what became of their prices. What was said of them is
                told again; one that has lost it in a restart is scored anew, with the same result.
        """
        self._score([*asked, *(request for request, _ in judged if not request.scores)])
        now = int(time.time() * 1000)
        predictions: list[KeyedJson] = []
        for versions, requests in _by_versions(asked):
            chances = _chances(requests, versions)
            for part, (role, version) in enumerate(zip(ROLES, versions, strict=False)):
                predictions += _predictions(requests, chances[:, part], version, role, now)
        outcomes: list[KeyedJson] = []
        observed: list[Part] = []
        realised = {request.position: one for request, one in judged}
        for versions, requests in _by_versions(request for request, _ in judged):
            chances = _chances(requests, versions)
            came = [realised[request.position] for request in requests]
            for part, (role, version) in enumerate(zip(ROLES, versions, strict=False)):
                outcomes += _outcomes(requests, came, chances[:, part], version, role)
                observed += self._observe(requests, came, chances[:, part], version, role)
        return Answers(predictions, outcomes, pack_parts(observed) if observed else None)

    def _score(self, requests: Iterable[Request]) -> None:
        """Gives each request its versions' probabilities."""
        together = _by_versions(requests)
        if not together:
            return
        names: list[str] = []
        rows: list[bytes] = []
        for versions, group in together:
            names += versions
            rows += [_rows(group)] * len(versions)
        said = iter(self._model.eval(pd.Series(names), pd.Series(rows)))
        for versions, group in together:
            each = [np.frombuffer(next(said), np.float32).reshape(len(group), _CLASSES) for _ in versions]
            packed = np.hstack(each).tobytes()
            width = len(packed) // len(group)
            for number, request in enumerate(group):
                request.scores = packed[number * width : (number + 1) * width]

    def _observe(
        self, requests: list[Request], came: list[Realised], chances: NDArray[np.float32], version: str, role: str
    ) -> Iterator[Part]:
        times = [request.subject.event_time for request in requests]
        block = complete(_rows(requests), len(requests))
        return self._observers(version).observe(role, block, chances, times, [one.direction for one in came])


def _by_versions(requests: Iterable[Request]) -> list[tuple[tuple[str, ...], list[Request]]]:
    """Requests that the same model versions score, in their order."""
    groups: dict[tuple[str, ...], list[Request]] = {}
    for request in requests:
        groups.setdefault(request.versions, []).append(request)
    return list(groups.items())


def _rows(requests: Iterable[Request]) -> bytes:
    """Their features, one row behind the other."""
    return b"".join([part for request in requests for part in (request.own, request.columns)])


def _chances(requests: list[Request], versions: tuple[str, ...]) -> NDArray[np.float32]:
    """Probabilities, shape (requests, versions, 3)."""
    packed = b"".join([request.scores for request in requests])
    return np.frombuffer(packed, np.float32).reshape(len(requests), len(versions), _CLASSES)


def _predictions(
    requests: list[Request], chances: NDArray[np.float32], version: str, role: str, now: int
) -> Iterator[KeyedJson]:
    for request, said in zip(requests, _each(chances), strict=True):
        record = prediction_record(
            request.subject, said, request.market_time, version, role, SCHEMA_HASH, now, request.conflated or ()
        )
        yield keyed_json(request.subject.symbol, record)


def _outcomes(
    requests: list[Request], came: list[Realised], chances: NDArray[np.float32], version: str, role: str
) -> Iterator[KeyedJson]:
    for request, one, said in zip(requests, came, _each(chances), strict=True):
        outcome = one.due_time, one.direction, one.realised_price
        yield keyed_json(request.subject.symbol, outcome_record(request.subject, said, outcome, version, role))


def _each(chances: NDArray[np.float32]) -> Sequence[Sequence[float]]:
    return chances  # type: ignore[return-value] # float32 is written with as few digits as tell it
