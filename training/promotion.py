"""Whether a candidate's live outcomes beat those of the active version, trade by trade."""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

LEAST_PREDICTIONS = 50_000
"""About a day of NEPSE."""
CONFIDENCE = 0.95
BLOCK_MS = 300_000
"""Outcomes of the same minutes share one market: so much event time counts as one observation of the difference."""

_MAX_WAITING = 200_000
"""Outcomes that wait for the other version's. The two are written together; what waits longer has no partner."""


class Verdict(NamedTuple):
    """The comparison of two versions on the predictions that both have made.

    Attributes:
        better: Whether the candidate is better: enough predictions, and the lower bound above 0.
        active: The version compared with; empty if no outcome of an active version came.
        predictions: Number of predictions that both have made, at most as many as asked for: the latest ones.
        gain: The active version's mean log loss less the candidate's: above 0 where the candidate is better; NaN
            without predictions.
        at_least: The gain's lower bound, one-sided at :data:`CONFIDENCE`.
    """

    better: bool
    active: str
    predictions: int
    gain: float
    at_least: float


def judge(outcomes: Iterable[Mapping[str, Any]], candidate: str, over: int = LEAST_PREDICTIONS) -> Verdict:
    """Compares a shadowing candidate with the version that is active at the end of the outcomes.

    Args:
        outcomes: Messages of `nepse-outcomes`, in any order in which the two versions' are not far apart.
        candidate: Version of the candidate; its outcomes have the role `shadow`.
        over: Number of predictions, scored by both, that the verdict rests on.

    Returns:
        The verdict. The difference of log losses is averaged over blocks of five minutes, whose means are taken for
        independent: neighbouring trades share most of their minute and must not count as so many observations.
    """
    pairs = _Pairs(candidate)
    for outcome in outcomes:
        pairs.add(outcome)
    active, times, gains = pairs.latest(over)
    if not len(times):
        return Verdict(better=False, active=active, predictions=0, gain=math.nan, at_least=math.nan)
    gain, at_least = _mean_and_lower_bound(times // BLOCK_MS, gains)
    better = len(times) >= over and at_least > 0.0
    return Verdict(better, active, len(times), gain, at_least)


class _Pairs:
    """Joins the outcomes of the same tick; keeps a few bytes for each pair."""

    def __init__(self, candidate: str) -> None:
        self._candidate = candidate
        self._waiting: OrderedDict[tuple[bool, int, int], tuple[str, float]] = OrderedDict()
        self._versions: list[str] = []
        self._active = (0, "")
        self._times, self._gains, self._against = array("q"), array("d"), array("H")

    def add(self, outcome: Mapping[str, Any]) -> None:
        """Takes in an outcome."""
        version, time = outcome["model_version"], outcome["event_time"]
        is_candidate = outcome["role"] == "shadow"
        if is_candidate and version != self._candidate:
            return
        if not is_candidate:
            self._active = max(self._active, (time, version))
        source = outcome["source"]
        place = source["partition"], source["offset"]
        partner = self._waiting.pop((not is_candidate, *place), None)
        if partner is None:
            self._waiting[is_candidate, *place] = (version, outcome["log_loss"])
            if len(self._waiting) > _MAX_WAITING:
                self._waiting.popitem(last=False)
            return
        against, loss = partner
        gain = outcome["log_loss"] - loss
        if is_candidate:
            gain = -gain
        else:
            against = version
        if against not in self._versions:
            self._versions.append(against)
        self._times.append(time)
        self._gains.append(gain)
        self._against.append(self._versions.index(against))

    def latest(self, over: int) -> tuple[str, npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The active version, and event time and gain of the latest pairs with it."""
        active = self._active[1]
        times, gains, against = (np.array(column) for column in (self._times, self._gains, self._against))
        number = self._versions.index(active) if active in self._versions else -1
        chosen = np.flatnonzero(against == number)
        chosen = chosen[np.argsort(times[chosen], kind="stable")][-over:]
        return active, times[chosen].astype(np.int64), gains[chosen]


def _mean_and_lower_bound(blocks: npt.NDArray[np.int64], gains: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean of the gains, and its lower bound where only whole blocks are independent (a ratio estimator's)."""
    from scipy.stats import t as student  # noqa: PLC0415 - more than a second

    mean = float(gains.mean())
    _, block_of = np.unique(blocks, return_inverse=True)
    residuals = np.bincount(block_of, weights=gains - mean)
    count = len(residuals)
    if count < 2:  # noqa: PLR2004 - one block has no spread
        return mean, -math.inf
    error = math.sqrt(count / (count - 1) * float((residuals**2).sum())) / len(gains)
    return mean, mean - float(student.ppf(CONFIDENCE, count - 1)) * error
