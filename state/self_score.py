"""How good a model version has been lately: measures over a sliding window of event time, outcome by outcome."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from state.tally import SIZE, entries, measures

if TYPE_CHECKING:
    from state.tally import Outcome

WINDOW_MS = 3_600_000
SLICE_MS = 60_000

VERSION = 1
_HEAD = struct.Struct("<BqqI")  # version, window, slice, number of slices
_SLICE_HEAD = struct.Struct("<qI")  # number of the slice, entries


class ScoreVersionError(RuntimeError):
    """A self-score that this version of tickcast can't read."""


class SelfScore:
    """The running measures of one model version.

    The window moves in slices: it holds the slice of the newest outcome and those before it, `window_ms` in all. An
    outcome may come in any order; one that is older than the window does not count. An outcome costs the same
    however long the window is, and leaves it without a trace.

    Args:
        window_ms: Length of the window, a multiple of `slice_ms`.
        slice_ms: The step in which it moves. Slices begin at multiples of it since the epoch.

    Raises:
        ValueError: If the window is no positive multiple of the slice.
    """

    def __init__(self, window_ms: int = WINDOW_MS, slice_ms: int = SLICE_MS) -> None:
        if slice_ms <= 0 or window_ms < slice_ms or window_ms % slice_ms:
            raise ValueError(f"a window of {window_ms} ms is no multiple of its slices of {slice_ms} ms")
        self._window_ms = window_ms
        self._slice_ms = slice_ms
        self._slices: dict[int, dict[int, int]] = {}
        self._newest: int | None = None
        self._sums = [0] * SIZE

    @property
    def span(self) -> tuple[int, int] | None:
        """The window now: from the first to before the second event time, ms; None before the first outcome."""
        if self._newest is None:
            return None
        end = (self._newest + 1) * self._slice_ms
        return end - self._window_ms, end

    def add(self, event_time: int, outcome: Outcome) -> None:
        """Takes in an outcome.

        Args:
            event_time: Time of the predicted trade, ms.
            outcome: The prediction and what became of it.
        """
        number = event_time // self._slice_ms
        if self._newest is None or number > self._newest:
            self._move_to(number)
        elif number <= self._newest - self._window_ms // self._slice_ms:
            return
        part = self._slices.setdefault(number, {})
        for place, amount in entries(outcome):
            part[place] = part.get(place, 0) + amount
            self._sums[place] += amount

    def measures(self) -> dict[str, Any]:
        """The measures of the window, as :func:`state.tally.measures` gives them."""
        return measures(np.array(self._sums, np.int64))

    def dump(self) -> bytes:
        """All it remembers."""
        parts = [_HEAD.pack(VERSION, self._window_ms, self._slice_ms, len(self._slices))]
        for number, part in self._slices.items():
            parts += (
                _SLICE_HEAD.pack(number, len(part)),
                np.array(list(part), "<u2").tobytes(),
                np.array(list(part.values()), "<i8").tobytes(),
            )
        return b"".join(parts)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """What :meth:`dump` gave.

        Raises:
            ScoreVersionError: If it was written in another form.
        """
        if data[:1] != bytes([VERSION]):
            raise ScoreVersionError(
                f"a self-score was written in form {data[:1].hex() or 'none'}, this tickcast reads form {VERSION:02x}: "
                "start it from a savepoint of its own version"
            )
        _, window_ms, slice_ms, count = _HEAD.unpack_from(data)
        score = cls(window_ms, slice_ms)
        at = _HEAD.size
        for _ in range(count):
            number, size = _SLICE_HEAD.unpack_from(data, at)
            at += _SLICE_HEAD.size
            places = np.frombuffer(data, "<u2", size, at).tolist()
            at += 2 * size
            amounts = np.frombuffer(data, "<i8", size, at).tolist()
            at += 8 * size
            score._restore(number, dict(zip(places, amounts, strict=True)))
        return score

    def _restore(self, number: int, part: dict[int, int]) -> None:
        self._slices[number] = part
        self._newest = number if self._newest is None else max(self._newest, number)
        for place, amount in part.items():
            self._sums[place] += amount

    def _move_to(self, newest: int) -> None:
        self._newest = newest
        first = newest - self._window_ms // self._slice_ms + 1
        for number in [number for number in self._slices if number < first]:
            for place, amount in self._slices.pop(number).items():
                self._sums[place] -= amount
