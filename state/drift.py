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

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

BINS = 10
"""Most bins of a feature's known values; one more is of the missing ones."""

P_UP = "p_up"
"""Name under which the probability of up is watched beside the features."""

SLICE_MINUTES = 5
"""A window moves slice by slice; slices begin at multiples of it since the epoch."""

LEAST_THRESHOLD = 0.25
ORDINARY_MARGIN = 2.0
"""Drift begins at so many times what was ordinary in training."""
CLEARED_AT = 0.4
"""Drift ends below so much of the threshold: .1 where that is .25."""

_FLOOR = 1e-4
"""An empty bin counts as this share: the index stays finite."""


class DriftEvent(NamedTuple):
    """A feature began or ceased to be distributed otherwise than in training.

    Attributes:
        feature: Name of the feature, or :data:`P_UP`.
        psi: Its population stability index over the window.
        threshold: Above it drift is raised; below :data:`CLEARED_AT` times it, cleared.
        raised: Whether it began; False: it ceased.
    """

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
        edges = np.full((BINS - 1, len(rows)), np.inf)
        self._shares = np.zeros((len(rows), BINS + 1))
        for number, row in enumerate(rows):
            edges[: len(row["edges"]), number] = row["edges"]
            self._shares[number, : len(row["shares"])] = np.array(row["shares"]) * (1.0 - row["missing"])
            self._shares[number, BINS] = row["missing"]
        ordinary = np.array([row.get("ordinary_psi", np.inf) for row in rows])
        self.thresholds = np.maximum(LEAST_THRESHOLD, ORDINARY_MARGIN * ordinary)
        # The values are float32: those that reach an edge are those that reach the next float32 from it on.
        rounded = edges.astype(np.float32)
        self._edges = np.where(rounded < edges, np.nextafter(rounded, np.float32(np.inf)), rounded)
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
        bins = np.zeros(values.shape, np.uint8)
        for edge in self._edges:
            bins += values >= edge
        bins[np.isnan(values)] = BINS
        places = bins + self._first_places
        return np.bincount(places.ravel(), minlength=self._shares.size).reshape(self._shares.shape)

    def no_counts(self) -> NDArray[np.int64]:
        """Counts of no row, of the shape of :meth:`counts`."""
        return np.zeros(self._shares.shape, np.int64)

    def psi(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The index of each feature for counts of at least one row, shape (features + 1,)."""
        return stability_index(counts / counts.sum(axis=1, keepdims=True), self._shares)


def stability_index(now: NDArray[np.float64], then: NDArray[np.float64]) -> NDArray[np.float64]:
    """Population stability index over the last axis, of shares."""
    now, then = np.maximum(now, _FLOOR), np.maximum(then, _FLOOR)
    index: NDArray[np.float64] = ((now - then) * np.log(now / then)).sum(axis=-1)
    return index


class DriftMonitor:
    """Watches the last session's worth of rows of one model version, slice by slice of event time.

    A slice is judged while the window is full: on a first day drift shows at the end of the session.

    Args:
        baseline: What to compare with.
        window_slices: Slices with trades that make a window; a session's.
        hold_slices: Slices for which an index must stay above its threshold.
    """

    def __init__(self, baseline: DriftBaseline, window_slices: int, hold_slices: int) -> None:
        self._baseline = baseline
        self._window_slices = window_slices
        self._hold_slices = hold_slices
        self._slices: dict[int, NDArray[np.int64]] = {}
        self._above = np.zeros(len(baseline.names), np.int64)
        self._raised = np.zeros(len(baseline.names), np.bool_)

    @property
    def is_full(self) -> bool:
        """Whether the slices at hand make a window."""
        return len(self._slices) >= self._window_slices

    @property
    def oldest(self) -> int:
        """Number of the oldest slice at hand; there must be one."""
        return next(iter(self._slices))

    @property
    def newest(self) -> int:
        """Number of the newest slice; there must be one."""
        return next(reversed(self._slices))

    @property
    def worst(self) -> float:
        """The highest index, as a part of its threshold; nought while the window is not full."""
        return float((self._index() / self._baseline.thresholds).max()) if self.is_full else 0.0

    def take(self, number: int, counts: NDArray[np.int64]) -> list[DriftEvent]:
        """Takes in all rows of a slice, later than those before it.

        Args:
            number: Its number since the epoch.
            counts: What :meth:`DriftBaseline.counts` gives.

        Returns:
            What began or ceased to drift with it.
        """
        self._slices[number] = counts
        if len(self._slices) > self._window_slices:
            del self._slices[self.oldest]
        return self._judge() if self.is_full else []

    def dump(self) -> list[Any]:
        """All it remembers."""
        slices = [(number, counts.astype("<i4").tobytes()) for number, counts in self._slices.items()]
        return [self._above.astype("<i4").tobytes(), self._raised.tobytes(), slices]

    @classmethod
    def load(cls, baseline: DriftBaseline, window_slices: int, hold_slices: int, data: list[Any]) -> Self:
        """What :meth:`dump` of a monitor with the same baseline gave; the window may be of another length."""
        monitor = cls(baseline, window_slices, hold_slices)
        above, raised, slices = data
        monitor._above = np.frombuffer(above, "<i4").astype(np.int64)
        monitor._raised = np.frombuffer(raised, np.bool_)
        shape = (len(baseline.names), BINS + 1)
        monitor._slices = {
            number: np.frombuffer(counts, "<i4").astype(np.int64).reshape(shape)
            for number, counts in slices[-window_slices:]
        }
        return monitor

    def _index(self) -> NDArray[np.float64]:
        return self._baseline.psi(np.sum(list(self._slices.values()), axis=0))

    def _judge(self) -> list[DriftEvent]:
        index, thresholds = self._index(), self._baseline.thresholds
        self._above = np.where(index > thresholds, self._above + 1, 0)
        begun = ~self._raised & (self._above >= self._hold_slices)
        ceased = self._raised & (index < CLEARED_AT * thresholds)
        self._raised = (self._raised | begun) & ~ceased
        return [
            DriftEvent(self._baseline.names[i], float(index[i]), float(thresholds[i]), bool(begun[i]))
            for i in np.flatnonzero(begun | ceased)
        ]
