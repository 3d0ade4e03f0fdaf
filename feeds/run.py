"""Moves a source's ticks into Kafka at a given speed and reports what became of them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from feeds.pacing import Pacer
from feeds.source import RawMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from feeds.producer import TickProducer
    from feeds.source import TickSource
    from state.tick import Tick

PROGRESS_INTERVAL_S = 0.2
_TICKS_BETWEEN_LOOKS = 256
"""Reading the clock costs; at full speed progress looks at it once in so many ticks."""


@dataclass
class FeedReport:
    """What a feed did.

    Attributes:
        sent: Messages handed to the producer.
        delivered: Messages the broker confirmed.
        failed: Messages the broker refused or did not confirm in time.
        bad_rows: Input rows or messages that are no ticks and were not sent.
        seconds: How long it took, until the last confirmation.
        ticks_per_s: Messages delivered in a second.
        first_event_time: Oldest event time sent, ms since the epoch; None if nothing was sent.
        last_event_time: Newest event time sent, ms since the epoch; None if nothing was sent.
        interrupted: Whether it was stopped before its end.
    """

    sent: int = 0
    delivered: int = 0
    failed: int = 0
    bad_rows: int = 0
    seconds: float = 0.0
    ticks_per_s: float = 0.0
    first_event_time: int | None = None
    last_event_time: int | None = None
    interrupted: bool = False

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


class Meter:
    """Keeps a feed's report up to date while it runs.

    Args:
        producer: Takes the messages.
        on_progress: Called with the report now and then.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        producer: TickProducer,
        on_progress: Callable[[FeedReport], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self.report = FeedReport()
        self._producer = producer
        self._on_progress = on_progress
        self._clock = clock
        self._started_at = clock()
        self._next_look = self._started_at
        self._before = (producer.sent, producer.delivered, producer.failed)

    def send(self, message: Tick | RawMessage) -> None:
        """Sends one message and counts it."""
        if type(message) is RawMessage:
            self._producer.send_raw(message)
        else:
            self._producer.send(message)  # type: ignore[arg-type]
        report, event_time = self.report, message.event_time
        report.sent += 1
        if report.last_event_time is None or report.first_event_time is None:
            report.first_event_time = report.last_event_time = event_time
        elif event_time > report.last_event_time:
            report.last_event_time = event_time
        elif event_time < report.first_event_time:
            report.first_event_time = event_time

    def show(self, bad_rows: int) -> None:
        """Calls `on_progress`, at most every `PROGRESS_INTERVAL_S` seconds."""
        if self._on_progress is not None and self._clock() >= self._next_look:
            self._next_look = self._clock() + PROGRESS_INTERVAL_S
            self._update(bad_rows)
            self._on_progress(self.report)

    def finish(self, bad_rows: int) -> FeedReport:
        """Waits for the last confirmation and gives the final report.

        Raises:
            FeedError: If a delivery has failed.
        """
        self._producer.flush()
        self._update(bad_rows)
        if self._on_progress is not None:
            self._on_progress(self.report)
        return self.report

    def _update(self, bad_rows: int) -> None:
        report, producer = self.report, self._producer
        report.delivered = producer.delivered - self._before[1]
        report.failed = producer.failed - self._before[2]
        report.bad_rows = bad_rows
        report.seconds = self._clock() - self._started_at
        report.ticks_per_s = report.delivered / report.seconds if report.seconds > 0 else 0.0


def feed(
    source: TickSource,
    producer: TickProducer,
    *,
    speed: float | None = None,
    on_progress: Callable[[FeedReport], None] | None = None,
    limit: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> FeedReport:
    """Sends a source's messages to Kafka.

    A keyboard interrupt ends it in order: what was sent is confirmed and reported.

    Args:
        source: Gives the messages, in order of arrival.
        producer: Takes them.
        speed: Seconds of the market that pass in one second; None: as fast as it goes.
        on_progress: Called with the report a few times a second.
        limit: Stop after so many messages; None: send all.
        sleep: Waits for so many seconds.

    Raises:
        FeedError: If a delivery has failed.
    """
    meter = Meter(producer, on_progress, time.monotonic)
    pacer = Pacer(speed, time.monotonic) if speed is not None else None
    try:
        for number, message in enumerate(source):
            if number == limit:
                break
            if pacer is not None and (wait := pacer.delay(message.event_time)) > 0:
                meter.show(len(source.bad_rows))
                sleep(wait)
            elif number % _TICKS_BETWEEN_LOOKS == 0:
                meter.show(len(source.bad_rows))
            meter.send(message)
    except KeyboardInterrupt:
        meter.report.interrupted = True
    return meter.finish(len(source.bad_rows))
