"""What a `read_committed` reader sees of the predictions while things die around it."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple, Self

import orjson
from kafka.errors import KafkaError

from console.errors import CommandError
from console.kafka_io import open_consumer, poll
from jobs.topics import Topic

if TYPE_CHECKING:
    from types import TracebackType

    from jobs.settings import Settings

_POLL_MS = 50
_AGAIN_S = 0.2
_JOIN_S = 10.0


class Sight(NamedTuple):
    """The newest committed prediction at some moment."""

    event_time: int
    """Its tick's time, epoch ms."""
    seen_at: float
    """When it was read, s since the epoch."""


class CommittedWatch:
    """Follows the committed predictions in a thread of its own, from the moment it is opened."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._moved = threading.Condition()
        self._sights: list[Sight] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(_JOIN_S)

    @property
    def newest(self) -> Sight:
        """The newest committed prediction; one of the epoch if there is none."""
        with self._moved:
            return self._sights[-1] if self._sights else Sight(0, 0.0)

    def await_younger(self, moment: float, timeout_s: float) -> float | None:
        """When the first prediction was seen whose tick was sent after a moment; None if none comes in time.

        Args:
            moment: Seconds since the epoch.
            timeout_s: How long to wait for it.
        """
        deadline = time.monotonic() + timeout_s
        with self._moved:
            while True:
                place = bisect_right(self._sights, moment * 1000, key=lambda sight: sight.event_time)
                if place < len(self._sights):
                    return self._sights[place].seen_at
                if not self._moved.wait(deadline - time.monotonic()):
                    return None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (KafkaError, CommandError):
                self._stop.wait(_AGAIN_S)

    def _follow(self) -> None:
        consumer = open_consumer(self._settings.kafka, [Topic.PREDICTIONS])
        try:
            consumer.seek_to_end()
            while not self._stop.is_set():
                records = poll(consumer, _POLL_MS)
                newest = max((orjson.loads(record.value)["event_time"] for record in records), default=0)
                with self._moved:
                    if newest > (self._sights[-1].event_time if self._sights else 0):
                        self._sights.append(Sight(newest, time.time()))
                        self._moved.notify_all()
        finally:
            consumer.close()
