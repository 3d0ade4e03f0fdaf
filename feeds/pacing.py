"""When a recorded tick is due again: at the pace of the market, a multiple of it, or at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SPEED = "max"
"""The speed that keeps no gaps."""


def parse_speed(text: str) -> float | None:
    """Reads a speed.

    Args:
        text: ``max``, or how many seconds of the market pass in one second.

    Returns:
        The factor; None for ``max``.

    Raises:
        ValueError: With a sentence, where the text is neither.
    """
    if text == MAX_SPEED:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not (math.isfinite(speed) and speed > 0):
        raise ValueError(f"the speed is '{text}'; give '{MAX_SPEED}' or a number above 0, 1 being real time")
    return speed


class Pacer:
    """Says how long to wait before a tick is sent.

    Ticks come in the order in which they once arrived. One is due when the newest event time so far is
    reached, so a straggler follows its predecessor at once, as it did in the market. Times are measured
    from the first tick, so a delay in one place is made up for and does not add up.

    Args:
        speed: Seconds of the market that pass in one second, > 0.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, speed: float, clock: Callable[[], float]) -> None:
        self._speed = speed
        self._clock = clock
        self._started_at: float | None = None
        self._first_event_time = 0
        self._newest_event_time = 0

    def delay(self, event_time: int) -> float:
        """Seconds until the next tick, of this event time in ms, is due; 0 where it is due already."""
        now = self._clock()
        if self._started_at is None:
            self._started_at = now
            self._first_event_time = self._newest_event_time = event_time
            return 0.0
        self._newest_event_time = max(self._newest_event_time, event_time)
        market_seconds = (self._newest_event_time - self._first_event_time) / 1000
        return max(0.0, self._started_at + market_seconds / self._speed - now)
