"""Whether what the model sees and says is still distributed as in training.

The measure is the population stability index, sum of (now - then) ln(now / then) over the bins of a feature. Below .1
it is taken for steady, above .25 for shifted (Siddiqi, "Credit risk scorecards", 2006). Two things make it useful on
a trading day, both measured on 62 real days of NEPSE:

- A feature is compared over a whole session. Within any one hour `breadth_300s` has a median index of 1.0 against all
  days and `minute_of_session` of 5.7, over whole days .22 and .02. So the window is counted in minutes in which there
  were trades: yesterday's afternoon and today's morning make a session too, and no feature has to be left out for
  following the clock.
- What is ordinary differs between features. A day has one market: `index_return` has an index of 2.7 on the median
  day and `market_trades_60s` of .5, what comes of a symbol's own last trades far below .1. So the manifest says how
  far each feature went on the days of the training, and only what is twice as far, and beyond .25, is drift.

With 43 days for the baseline, 13 of the 19 days after them raise nothing. Six do: one by a little, the day of two
index halts, and the four of record turnover in the middle of July.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

BINS = 10
"""Most bins of a feature's known values; one more is of the missing ones."""

P_UP = "p_up"
"""Name under which the probability of up is watched beside the features."""

SLICE_MS = 300_000
WINDOW_SLICES = 46
"""Slices with trades that make a window: 230 minutes, ten less than NEPSE's session, for a day with a short halt."""

LEAST_THRESHOLD = 0.25
ORDINARY_MARGIN = 2.0
"""Drift begins at so many times what was ordinary in training."""
CLEARED_AT = 0.4
"""Drift ends below so much of the threshold: .1 where that is .25."""
HOLD_SLICES = 3
"""Drift is raised when it has lasted for so many slices."""

VERSION = 1
_HEAD = struct.Struct("<BHHI")  # version, names, columns, slices
_FLOOR = 1e-4
"""An empty bin counts as this share: the index stays finite."""


class DriftVersionError(RuntimeError):
    """Counts that this version of tickcast can't read, or that are of other features."""


class DriftEvent(NamedTuple):
    """A feature began or ceased to be distributed otherwise than in training.

    Attributes:
        event_time: End of the window, ms.
        feature: Name of the feature, or :data:`P_UP`.
        psi: Its population stability index over the window.
        threshold: Above it drift is raised; below :data:`CLEARED_AT` times it, cleared.
        raised: Whether it began; False: it ceased.
    """

    event_time: int
    feature: str
    psi: float
    threshold: float
    raised: bool


class DriftBaseline:
    """The distributions of the training, ready to count against.

    Args:
        baseline: `drift_baseline` of a manifest (see :func:`training.drift.drift_baseline`). In a version from before
            it said what is ordinary, nothing drifts.
        feature_names: The features in the order of the columns.

    Attributes:
        names: The features and :data:`P_UP`.
        thresholds: Index above which each drifts.
    """

    def __init__(self, baseline: Mapping[str, Any], feature_names: Sequence[str]) -> None:
        rows = [*(baseline["features"][name] for name in feature_names), baseline["probabilities"]["up"]]
        self.names = (*feature_names, P_UP)
        self._edges = np.full((BINS - 1, len(rows)), np.inf)
        self._shares = np.zeros((len(rows), BINS + 1))
        for number, row in enumerate(rows):
            self._edges[: len(row["edges"]), number] = row["edges"]
            self._shares[number, : len(row["shares"])] = np.array(row["shares"]) * (1.0 - row["missing"])
            self._shares[number, BINS] = row["missing"]
        ordinary = np.array([row.get("ordinary_psi", np.inf) for row in rows])
        self.thresholds = np.maximum(LEAST_THRESHOLD, ORDINARY_MARGIN * ordinary)
        self._first_places = np.arange(len(rows)) * (BINS + 1)

    def counts(self, block: NDArray[np.float32], p_up: NDArray[np.float32]) -> NDArray[np.int64]:
        """How often the values of a batch fall into each bin; counts of several batches add up.

        Args:
            block: Unscaled features, shape (rows, features).
            p_up: What was said of them, shape (rows,).

        Returns:
            Shape (features + 1, BINS + 1), the last column of the missing values.
        """
        values = np.column_stack((block, p_up))
        places = np.zeros(values.shape, np.intp)
        for edge in self._edges:
            places += values >= edge
        places[np.isnan(values)] = BINS
        places += self._first_places
        return np.bincount(places.ravel(), minlength=self._shares.size).reshape(self._shares.shape)

    def psi(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The index of each feature for counts of at least one row, shape (features + 1,)."""
        return stability_index(counts / counts.sum(axis=1, keepdims=True), self._shares)


def stability_index(now: NDArray[np.float64], then: NDArray[np.float64]) -> NDArray[np.float64]:
    """Population stability index over the last axis, of shares."""
    now, then = np.maximum(now, _FLOOR), np.maximum(then, _FLOOR)
    index: NDArray[np.float64] = ((now - then) * np.log(now / then)).sum(axis=-1)
    return index


class DriftMonitor:
    """Watches the last session's worth of rows, slice by slice of event time.

    A slice is judged when the next one begins, and only while the window is full: on a first day drift shows at
    the end of the session.

    Args:
        baseline: What to compare with.
        window_slices: Slices with trades that make a window; a session's.
        slice_ms: Length of a slice. Slices begin at multiples of it since the epoch.
        hold_slices: Slices for which an index must stay above its threshold.
    """

    def __init__(
        self,
        baseline: DriftBaseline,
        window_slices: int = WINDOW_SLICES,
        slice_ms: int = SLICE_MS,
        hold_slices: int = HOLD_SLICES,
    ) -> None:
        self._baseline = baseline
        self._window_slices = window_slices
        self._slice_ms = slice_ms
        self._hold_slices = hold_slices
        self._slices: dict[int, NDArray[np.int64]] = {}
        self._above = np.zeros(len(baseline.names), np.int64)
        self._raised = np.zeros(len(baseline.names), np.bool_)

    @property
    def psi(self) -> dict[str, float] | None:
        """The index of each feature over the slices at hand; None while the window is not full."""
        if len(self._slices) < self._window_slices:
            return None
        return dict(zip(self._baseline.names, self._index().tolist(), strict=True))

    def add(self, event_time: int, counts: NDArray[np.int64]) -> list[DriftEvent]:
        """Takes in the counts of rows of one time, or close to it.

        Args:
            event_time: Time of the rows, ms. Rows older than the window do not count.
            counts: What :meth:`DriftBaseline.counts` gives.

        Returns:
            What began or ceased to drift with the slices before this one.
        """
        number = event_time // self._slice_ms
        if number in self._slices:
            self._slices[number] += counts
            return []
        newest = max(self._slices, default=number)
        if number < newest:
            if len(self._slices) < self._window_slices:
                self._slices[number] = counts.copy()
            return []
        events = self._judge((newest + 1) * self._slice_ms) if len(self._slices) >= self._window_slices else []
        self._slices[number] = counts.copy()
        while len(self._slices) > self._window_slices:
            del self._slices[min(self._slices)]
        return events

    def dump(self) -> bytes:
        """All it remembers."""
        numbers = np.array(list(self._slices), "<i8")
        names = len(self._baseline.names)
        counts = np.array(list(self._slices.values()), "<i4").reshape(-1)
        head = _HEAD.pack(VERSION, names, BINS + 1, len(numbers))
        standing = self._above.astype("<i4").tobytes() + self._raised.tobytes()
        return head + standing + numbers.tobytes() + counts.tobytes()

    def load(self, data: bytes) -> None:
        """Takes up what :meth:`dump` of a monitor of the same features gave.

        Raises:
            DriftVersionError: If it was written in another form or for other features.
        """
        names = len(self._baseline.names)
        if data[:1] != bytes([VERSION]):
            raise DriftVersionError(f"the drift's counts are not of form {VERSION}; start from a savepoint of this one")
        _, found, columns, slices = _HEAD.unpack_from(data)
        if (found, columns) != (names, BINS + 1):
            raise DriftVersionError(f"the drift's counts are of {found - 1} features, the model has {names - 1}")
        at = _HEAD.size
        self._above = np.frombuffer(data, "<i4", names, at).astype(np.int64)
        at += 4 * names
        self._raised = np.frombuffer(data, np.bool_, names, at).copy()
        at += names
        numbers = np.frombuffer(data, "<i8", slices, at).tolist()
        counts = np.frombuffer(data, "<i4", slices * names * columns, at + 8 * slices).astype(np.int64)
        self._slices = dict(zip(numbers, counts.reshape(slices, names, columns), strict=True))

    def _index(self) -> NDArray[np.float64]:
        return self._baseline.psi(np.sum(list(self._slices.values()), axis=0))

    def _judge(self, event_time: int) -> list[DriftEvent]:
        index, thresholds = self._index(), self._baseline.thresholds
        self._above = np.where(index > thresholds, self._above + 1, 0)
        begun = ~self._raised & (self._above >= self._hold_slices)
        ceased = self._raised & (index < CLEARED_AT * thresholds)
        self._raised = (self._raised | begun) & ~ceased
        return [
            DriftEvent(event_time, self._baseline.names[i], float(index[i]), float(thresholds[i]), bool(begun[i]))
            for i in np.flatnonzero(begun | ceased)
        ]
