"""When a stream that has stopped is given up: the bars and outcomes that still wait are then settled as they are.

Event time alone would never settle them: a watermark follows the ticks, and after the day's last one none follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from state.intake import TickTimes
    from state.rules import TradingCalendar

END_OF_INPUT = 2**63 - 1
"""The watermark at the end of all input: nothing may wait for the clock any more."""

LOOK_EVERY_MS = 5_000
"""A stopped stream is noticed within so long; at the session's end, so long a silence is enough."""


def patience(times: TickTimes, calendar: TradingCalendar, newest: int) -> int:
    """How long a stream must stand still to be given up, ms.

    Args:
        times: Has the patience with a silence in mid-session.
        calendar: Finds the trading day of a moment.
        newest: The newest event time, ms; 0 where there is none.
    """
    if newest:
        day = calendar.day_of(newest)
        if day.is_trading_day and newest >= day.close - times.out_of_orderness:
            return min(times.close_after, LOOK_EVERY_MS)
    return times.close_after


class Stillness:
    """Watches the ticks and the watermark stand still; all times are epoch ms, `now` is the machine's clock.

    Nothing is settled that a live feed may still deliver in time: the machine's clock, less the out-of-orderness
    bound, is never overtaken. Only a replay of older trades is settled as far as the silence alone allows.

    Args:
        times: Bounds on a tick's time, and the patience with a silence in mid-session.
        calendar: Finds the trading day of a moment.
        now: When the watch begins.
    """

    def __init__(self, times: TickTimes, calendar: TradingCalendar, now: int) -> None:
        self._times = times
        self._calendar = calendar
        self._moved_at = now
        self._watermark = -(2**63)
        self._newest = 0

    def arrived(self, now: int) -> None:
        """A message has come."""
        self._moved_at = now

    def traded(self, event_time: int) -> None:
        """A valid tick has come."""
        self._newest = max(self._newest, event_time)

    def look(self, now: int, watermark: int) -> None:
        """Takes in where the watermark stands."""
        if watermark != self._watermark:
            self._watermark = watermark
            self._moved_at = now
            # Other workers' ticks show in the watermark; at the end of all input it is beyond all days.
            self._newest = max(self._newest, min(watermark + self._times.out_of_orderness, now))

    def settled(self, now: int, last_due: int) -> int:
        """The moment up to which everything may be settled.

        Args:
            now: The machine's clock.
            last_due: Where a symbol's last bar or outcome waits for the watermark.

        Returns:
            The watermark, or a later moment if the stream has been still for long enough.
        """
        if now - self._moved_at < patience(self._times, self._calendar, self._newest):
            return self._watermark
        return max(self._watermark, min(last_due, now - self._times.out_of_orderness))
