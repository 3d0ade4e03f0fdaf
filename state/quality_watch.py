"""How good the predictions of every model version are, and whether it still sees what it was trained on.

Batches of outcomes come from several subtasks in any order. Each adds whole numbers to the minutes in which its trades
were made, and a minute is judged when no outcome of it can come any more. So the same log gives the same scores and
the same alerts, in whatever batches it was taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import numpy as np

from state.drift import SLICE_MINUTES, DriftMonitor
from state.outcomes import HORIZON_MS, SETTLE_EVERY_MS
from state.self_score import SelfScore
from state.sparse import Sparse
from state.tally import SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from state.drift import DriftBaseline, DriftEvent
    from state.rules import DriftRule

    Baselines = Callable[[str], DriftBaseline | None]

MINUTE_MS = 60_000

SETTLED_MS = HORIZON_MS + SETTLE_EVERY_MS
"""When the watermark is so far behind the end of a minute, the outcomes of its trades are all there."""

Scorer = tuple[str, str]
"""A model version, and the role in which it scored."""


class Part(NamedTuple):
    """What a batch adds to a minute.

    Attributes:
        version: The model version.
        role: `active` or `shadow`.
        minute: Number of the minute since the epoch.
        trades: Number of outcomes.
        tally: What :func:`state.tally.tally_rows` says of them.
        counts: What :meth:`state.drift.DriftBaseline.counts` says of them, flat; empty where there is no baseline.
    """

    version: str
    role: str
    minute: int
    trades: int
    tally: Sparse
    counts: Sparse


def pack_parts(parts: Iterable[Part]) -> bytes:
    """What a batch adds, as bytes."""
    packed: bytes = msgpack.packb([(*part[:4], part.tally.pack(), part.counts.pack()) for part in parts])
    return packed


def _read_parts(data: bytes) -> Iterator[Part]:
    for version, role, minute, trades, tally, counts in msgpack.unpackb(data):
        yield Part(version, role, minute, trades, Sparse.unpack(tally), Sparse.unpack(counts))


class Score(NamedTuple):
    """The measures of a model version in a role over the window that ends with a minute.

    Attributes:
        version: The model version.
        role: `active` or `shadow`.
        window_start, window_end: The event times of the predicted trades: from the first to before the second, ms.
        measures: What :func:`state.tally.measures` gives.
    """

    version: str
    role: str
    window_start: int
    window_end: int
    measures: dict[str, Any]


class Drift(NamedTuple):
    """What began or ceased to drift.

    Attributes:
        version: The model version.
        event_time: End of the window, ms.
        number: Its place among all of this moment, from 0.
        event: The feature, and how far it drifted.
    """

    version: str
    event_time: int
    number: int
    event: DriftEvent


class Findings(NamedTuple):
    """What has been found out about the minutes that have passed."""

    scores: list[Score]
    drifts: list[Drift]


class QualityWatch:
    """The live scores and the drift of all model versions.

    A version that has not scored for a window of any other's is forgotten.

    Args:
        baselines: Gives the baseline of a model version; None: its drift is not watched.
        score_minutes: Length of the scores' window.
        rule: How drift is judged.
    """

    def __init__(self, baselines: Baselines, score_minutes: int, rule: DriftRule) -> None:
        self._read_baseline = baselines
        self._score_minutes = score_minutes
        self._window_slices = rule.window_minutes // SLICE_MINUTES
        self._hold_slices = rule.hold_minutes // SLICE_MINUTES
        self._baselines: dict[str, DriftBaseline | None] = {}
        self._minutes: dict[int, dict[Scorer, NDArray[np.int64]]] = {}
        self._slices: dict[int, dict[str, NDArray[np.int64]]] = {}
        self._scores: dict[Scorer, SelfScore] = {}
        self._monitors: dict[str, DriftMonitor] = {}
        self._passed = 0

    def add(self, data: bytes) -> int:
        """Takes in what a batch adds.

        Args:
            data: From :func:`pack_parts`.

        Returns:
            How many of its outcomes are left out because their minute has been judged already.
        """
        left_out = 0
        for part in _read_parts(data):
            if part.minute < self._passed:
                left_out += part.trades
                continue
            tallies = self._minutes.setdefault(part.minute, {})
            scorer = part.version, part.role
            if scorer not in tallies:
                tallies[scorer] = np.zeros(SIZE, np.int64)
            part.tally.add_to(tallies[scorer])
            if (baseline := self._baseline(part.version)) is not None:
                counts = self._slices.setdefault(part.minute // SLICE_MINUTES, {})
                if part.version not in counts:
                    counts[part.version] = baseline.no_counts()
                part.counts.add_to(counts[part.version].reshape(-1))
        return left_out

    def _baseline(self, version: str) -> DriftBaseline | None:
        if version not in self._baselines:
            self._baselines[version] = self._read_baseline(version)
        return self._baselines[version]

    @property
    def next_due(self) -> int | None:
        """The watermark (ms) at which the next minute can be judged; None while none waits."""
        ends = [minute + 1 for minute in self._minutes] + [(number + 1) * SLICE_MINUTES for number in self._slices]
        return min(ends) * MINUTE_MS + SETTLED_MS if ends else None

    @property
    def last_due(self) -> int | None:
        """The watermark (ms) at which all minutes can be judged; None while none waits."""
        return (max(self._minutes) + 1) * MINUTE_MS + SETTLED_MS if self._minutes else None

    def advance(self, watermark: int) -> Findings:
        """Judges the minutes and slices whose outcomes are all there at this watermark (ms), oldest first."""
        end = (watermark - SETTLED_MS) // MINUTE_MS
        scores: list[Score] = []
        drifts: list[Drift] = []
        for minute in sorted(minute for minute in self._minutes if minute < end):
            scores += self._judge_minute(minute, self._minutes.pop(minute))
            self._passed = max(self._passed, minute + 1)
        for number in sorted(number for number in self._slices if (number + 1) * SLICE_MINUTES <= end):
            drifts += self._judge_slice(number, self._slices.pop(number))
            self._passed = max(self._passed, (number + 1) * SLICE_MINUTES)
        return Findings(scores, drifts)

    def _judge_minute(self, minute: int, tallies: dict[Scorer, NDArray[np.int64]]) -> Iterator[Score]:
        end = minute + 1
        start = end - self._score_minutes
        for scorer in sorted(tallies):
            score = self._scores.setdefault(scorer, SelfScore(self._score_minutes))
            score.take(minute, tallies[scorer])
            yield Score(*scorer, start * MINUTE_MS, end * MINUTE_MS, score.measures())
        self._scores = {scorer: score for scorer, score in self._scores.items() if score.newest >= start}

    def _judge_slice(self, number: int, counts: dict[str, NDArray[np.int64]]) -> list[Drift]:
        event_time = (number + 1) * SLICE_MINUTES * MINUTE_MS
        events = [
            (version, event)
            for version in sorted(counts)
            if (monitor := self._monitor(version)) is not None
            for event in monitor.take(number, counts[version])
        ]
        first = max((monitor.oldest for monitor in self._monitors.values() if monitor.is_full), default=0)
        self._monitors = {version: monitor for version, monitor in self._monitors.items() if monitor.newest >= first}
        return [Drift(version, event_time, place, event) for place, (version, event) in enumerate(events)]

    def _monitor(self, version: str) -> DriftMonitor | None:
        if version not in self._monitors and (baseline := self._baseline(version)) is not None:
            self._monitors[version] = DriftMonitor(baseline, self._window_slices, self._hold_slices)
        return self._monitors.get(version)

    def worst_drift(self, version: str) -> float:
        """The highest stability index of a version's features, as a part of its threshold; nought where none is."""
        return self._monitors[version].worst if version in self._monitors else 0.0

    def dump(self) -> bytes:
        """All it remembers."""
        waiting = [
            (minute, scorer, Sparse.of(tally).pack())
            for minute, tallies in self._minutes.items()
            for scorer, tally in tallies.items()
        ]
        counted = [
            (number, version, Sparse.of(counts.reshape(-1)).pack())
            for number, slices in self._slices.items()
            for version, counts in slices.items()
        ]
        scores = [(scorer, score.dump()) for scorer, score in self._scores.items()]
        monitors = [(version, monitor.dump()) for version, monitor in self._monitors.items()]
        packed: bytes = msgpack.packb((self._passed, waiting, counted, scores, monitors))
        return packed

    def load(self, data: bytes) -> None:
        """Takes up what :meth:`dump` gave. What is of a version whose baseline can't be read any more is left out."""
        self._passed, waiting, counted, scores, monitors = msgpack.unpackb(data, use_list=False)
        for minute, scorer, packed in waiting:
            tally = self._minutes.setdefault(minute, {})[scorer] = np.zeros(SIZE, np.int64)
            Sparse.unpack(packed).add_to(tally)
        for number, version, packed in counted:
            if (baseline := self._baseline(version)) is not None:
                counts = self._slices.setdefault(number, {})[version] = baseline.no_counts()
                Sparse.unpack(packed).add_to(counts.reshape(-1))
        for scorer, rows in scores:
            self._scores[scorer] = SelfScore.load(self._score_minutes, rows)
        for version, standing in monitors:
            if (baseline := self._baseline(version)) is not None:
                window = self._window_slices, self._hold_slices
                self._monitors[version] = DriftMonitor.load(baseline, *window, standing)
