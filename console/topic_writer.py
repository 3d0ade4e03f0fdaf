"""Carries topics into a store: what the Redis view and the PostgreSQL history have in common.

A record's offset is committed after the store has the record, never before, and the stores are
idempotent: a crash anywhere writes some records again and skips none.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Protocol

import structlog
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from console.errors import CommandError
from console.kafka_io import TopicEnd, open_consumer, poll, unreachable
from jobs.topics import consumer_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kafka import KafkaConsumer, TopicPartition
    from kafka.consumer.fetcher import ConsumerRecord

    from console.kafka_io import Isolation
    from jobs.settings import KafkaSettings
    from jobs.topics import Topic

_POLL_TIMEOUT_MS = 200
_COMMIT_INTERVAL_S = 0.5
_COMMIT_TIMEOUT_MS = 5_000
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 5.0
_OUTAGE_LIMIT_S = 120
"""Longest outage of the store that a bounded run waits out; a service waits for as long as it takes."""


class StoreUnavailableError(Exception):
    """The store does not answer; trying again later may help."""


class Store(Protocol):
    """Where records go."""

    name: str

    def open(self) -> bool:
        """Connect, or connect again.

        Returns:
            Whether the store still holds what was written to it before; False for an empty one.

        Raises:
            StoreUnavailableError: It does not answer.
            CommandError: It will never do what is needed, such as after a wrong password.
        """

    def write(self, records: Sequence[ConsumerRecord]) -> None:
        """Write records; when it returns they are all there.

        Raises:
            StoreUnavailableError: It does not answer; some of the records may be there.
        """

    def close(self) -> None:
        """Disconnect."""


class _StoppedWaitingError(Exception):
    """The run was stopped while the store did not answer."""


def follow_topics(
    kafka: KafkaSettings,
    topics: Iterable[Topic],
    store: Store,
    *,
    isolation: Isolation,
    stop: threading.Event,
    until_end: bool,
) -> int:
    """Write every record of some topics to a store, at least once and in order, until stopped.

    It goes on where the consumer group named after the store left off, and reads from the
    beginning if that is unknown or the store is empty.

    Args:
        kafka: Where the broker is.
        topics: What to read.
        store: Takes the records.
        isolation: Whether records are written before their transaction is committed.
        stop: Ends the run after the batch in hand.
        until_end: Also stop when everything is written that was in the topics at the start.

    Returns:
        How many records were written.

    Raises:
        CommandError: Store or broker refuse for good or, with `until_end`, stay silent.
    """
    group = consumer_group(store.name, kafka)
    consumer = open_consumer(kafka, topics, isolation=isolation, group=group)
    try:
        return _TopicWriter(consumer, store, stop).run(until_end=until_end)
    except KafkaError as error:
        raise unreachable(kafka, error) from error
    finally:
        store.close()
        consumer.close()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


class _TopicWriter:
    def __init__(self, consumer: KafkaConsumer, store: Store, stop: threading.Event) -> None:
        self._consumer = consumer
        self._store = store
        self._stop = stop
        self._log = structlog.get_logger(store.name)
        self._committed: dict[TopicPartition, int] = {}
        self._commit_at = 0.0
        self._outage_limit_s = float("inf")
        self._written = 0

    def run(self, *, until_end: bool) -> int:
        if until_end:
            self._outage_limit_s = _OUTAGE_LIMIT_S
        try:
            self._open_store()
            self._log.info("started", topics=sorted({partition.topic for partition in self._consumer.assignment()}))
            self._follow(TopicEnd(self._consumer) if until_end else None)
            self._commit()
        except _StoppedWaitingError:
            self._log.warning("stopped while the store did not answer; the next run goes on from there")
        self._log.info("stopped", written=self._written)
        return self._written

    def _follow(self, end: TopicEnd | None) -> None:
        while not self._stop.is_set() and not (end is not None and end.reached()):
            records = poll(self._consumer, _POLL_TIMEOUT_MS)
            if records:
                self._write(records)
            if time.monotonic() >= self._commit_at:
                self._commit()

    def _write(self, records: Sequence[ConsumerRecord]) -> None:
        """Write a batch, however long the store is away, unless it comes back empty: then all is read again."""
        while True:
            try:
                self._store.write(records)
            except StoreUnavailableError as error:
                self._log.warning("the store does not answer", reason=str(error), records_waiting=len(records))
                if not self._open_store():
                    return
            else:
                self._written += len(records)
                return

    def _open_store(self) -> bool:
        """Connect, however long it takes; False if the store is empty and reading starts over."""
        backoff_s, deadline = _FIRST_BACKOFF_S, time.monotonic() + self._outage_limit_s
        while True:
            try:
                complete = self._store.open()
                break
            except StoreUnavailableError as error:
                if time.monotonic() > deadline:
                    raise CommandError(
                        f"the {self._store.name}'s store did not answer for {_OUTAGE_LIMIT_S} s ({error});"
                        " see whether it is healthy with `tickcast status`"
                    ) from error
                self._log.warning("waiting for the store", reason=str(error), next_try_s=backoff_s)
            if self._stop.wait(backoff_s):
                raise _StoppedWaitingError
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
        if not complete:
            self._log.info("the store is empty: reading from the beginning")
            self._consumer.seek_to_beginning()
            self._commit()
        return complete

    def _commit(self) -> None:
        """Commit how far the store has come; called only when every record that was read is in it."""
        self._commit_at = time.monotonic() + _COMMIT_INTERVAL_S
        positions = {partition: self._consumer.position(partition) for partition in self._consumer.assignment()}
        moved = {
            partition: OffsetAndMetadata(position, "", -1)
            for partition, position in positions.items()
            if position is not None and self._committed.get(partition) != position
        }
        if not moved:
            return
        try:
            self._consumer.commit(moved, timeout_ms=_COMMIT_TIMEOUT_MS)
        except KafkaError as error:
            # Harmless: the records in between would be written once more after a restart.
            self._log.warning("offsets not committed, trying again", reason=str(error))
        else:
            self._committed = positions
