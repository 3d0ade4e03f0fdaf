"""A timer by the machine's clock that comes again and again, and that no restore can lose.

PyFlink (2.2.1) finishes a bundle before a checkpoint's barrier, but registers the bundle's timers only after it: the
checkpoint has what a function remembered of the bundle, and lacks the timers that it set
(`AbstractPythonFunctionOperator.prepareSnapshotPreBarrier` does not call `drainUnregisteredTimers`). Who waits for a
timer alone may wait for ever after a restore. Here two timers are under way, each set long before the other comes, so
that every checkpoint has one of them.
"""

from __future__ import annotations

from typing import Any


class Pulse:
    """Keeps the timers; for a function of one key.

    Args:
        every_ms: The time between two beats.
    """

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms
        self._set_until = 0

    def keep(self, service: Any, now: int) -> None:
        """Sees to the next two beats; to be called with every element and every timer.

        Args:
            service: Flink's timer service.
            now: The machine's clock, ms.
        """
        # On a grid: Flink keeps one timer for a moment, whoever sets it how often.
        beat = now - now % self._every_ms
        for following in (beat + self._every_ms, beat + 2 * self._every_ms):
            if following > self._set_until:
                service.register_processing_time_timer(following)
                self._set_until = following
