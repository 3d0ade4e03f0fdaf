"""How good a model version has been lately: measures over a sliding window of event time, minute by minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from state.sparse import Packed, Sparse
from state.tally import SIZE, measures

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SelfScore:
    """The running measures of one model version.

    The window ends with the newest minute that it has taken. What a minute costs does not depend on the window's
    length, and it leaves the window without a trace.

    Args:
        minutes: Length of the window.
    """

    def __init__(self, minutes: int) -> None:
        self._length = minutes
        self._minutes: dict[int, Sparse] = {}
        self._sums = np.zeros(SIZE, np.int64)

    @property
    def newest(self) -> int:
        """Number of the newest minute since the epoch; there must be one."""
        return next(reversed(self._minutes))

    def take(self, minute: int, tally: NDArray[np.int64]) -> None:
        """Takes in all outcomes of a minute, later than those before it.

        Args:
            minute: Its number since the epoch.
            tally: What :func:`state.tally.tally_rows` gives, shape (SIZE,).
        """
        self._put(minute, Sparse.of(tally))
        while (oldest := next(iter(self._minutes))) <= minute - self._length:
            self._minutes.pop(oldest).take_from(self._sums)

    def _put(self, minute: int, sums: Sparse) -> None:
        self._minutes[minute] = sums
        sums.add_to(self._sums)

    def measures(self) -> dict[str, Any]:
        """The measures of the window, as :func:`state.tally.measures` gives them."""
        return measures(self._sums)

    def dump(self) -> list[tuple[int, Packed]]:
        """All it remembers."""
        return [(minute, sums.pack()) for minute, sums in self._minutes.items()]

    @classmethod
    def load(cls, minutes: int, rows: list[tuple[int, Packed]]) -> Self:
        """What :meth:`dump` gave, in a window of this length from the next minute on."""
        score = cls(minutes)
        for minute, packed in rows:
            score._put(minute, Sparse.unpack(packed))
        return score
