"""Kafka clients, built in one place from the settings, and the ways of reading a topic that need care."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from console.errors import CommandError
from feeds.connecting import overhearing
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kafka.consumer.fetcher import ConsumerRecord

    from jobs.settings import KafkaSettings

Isolation = Literal["read_committed", "read_uncommitted"]

CONNECT_TIMEOUT_S = 10
RECONNECT_BACKOFF_MAX_MS = 1_000
"""Longest pause between two attempts to reach a broker; the client's own 30 s would double every outage."""
STALL_TIMEOUT_S = 60
"""A bounded read that gets nothing for this long although the topic holds more is given up."""


def connection_config(kafka: KafkaSettings) -> dict[str, Any]:
    """How any kafka-python client reaches the broker: addresses, encryption, log-on."""
    config: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers.split(","),
        "security_protocol": kafka.security_protocol,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_S * 1000,
        "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MAX_MS,
    }
    if kafka.security_protocol.endswith("SSL") and kafka.ssl_ca_file:
        config["ssl_cafile"] = kafka.ssl_ca_file
    if kafka.security_protocol.startswith("SASL"):
        config["sasl_mechanism"] = kafka.sasl_mechanism
        config["sasl_plain_username"] = kafka.sasl_username
        config["sasl_plain_password"] = kafka.sasl_password.get_secret_value()
    return config


def open_consumer(
    kafka: KafkaSettings,
    topics: Iterable[Topic],
    *,
    isolation: Isolation = "read_committed",
    group: str | None = None,
    max_records: int = 10_000,
) -> KafkaConsumer:
    """A consumer of all partitions of some topics.

    The partitions are assigned, not subscribed to: a restarted reader goes on at once instead of
    waiting until the group has noticed that its predecessor is dead. It starts at the group's
    committed offsets, or at the beginning where there are none.

    Args:
        kafka: Where the broker is.
        topics: What to read.
        isolation: Whether records of transactions that are still open or were aborted are seen.
        group: Consumer group whose offsets are used; None reads without one.
        max_records: Most records that one poll returns.

    Raises:
        CommandError: No broker answers or lets us in, or a topic does not exist.
    """
    with overhearing() as overheard:
        try:
            consumer = KafkaConsumer(
                **connection_config(kafka),
                group_id=group,
                isolation_level=isolation,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                max_poll_records=max_records,
                metrics_enabled=False,
            )
        except (KafkaError, OSError) as error:
            raise unreachable(kafka, error, overheard.cause()) from error
    try:
        consumer.assign(
            [
                TopicPartition(name, partition)
                for name in (topic_name(topic, kafka) for topic in topics)
                for partition in _partitions(consumer, name)
            ]
        )
    except BaseException:
        consumer.close()
        raise
    return consumer


def open_admin(kafka: KafkaSettings, request_timeout_s: float = 30) -> KafkaAdminClient:
    """An administration client.

    Args:
        kafka: Where the broker is.
        request_timeout_s: A request without an answer is given up after this time.

    Raises:
        CommandError: No broker answers, or none lets us in.
    """
    with overhearing() as overheard:
        try:
            return KafkaAdminClient(**connection_config(kafka), request_timeout_ms=round(request_timeout_s * 1000))
        except (KafkaError, OSError) as error:
            raise unreachable(kafka, error, overheard.cause()) from error


def unreachable(kafka: KafkaSettings, error: Exception, cause: str | None = None) -> CommandError:
    """The sentence for a broker that does not answer or, with a cause, for one that does and can't be used."""
    if cause is not None:
        return CommandError(f"the Kafka broker at {kafka.bootstrap_servers} can't be used: {cause}")
    return CommandError(
        f"no Kafka broker answers at {kafka.bootstrap_servers} ({type(error).__name__}); start the stack with"
        " `tickcast up`, or set TICKCAST_KAFKA__BOOTSTRAP_SERVERS to the broker you mean"
    )


class TopicEnd:
    """Where the assigned partitions ended at one moment, as their reader may see them.

    Under ``read_committed`` that is the last stable offset: an open transaction ends the topic.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._ends: dict[TopicPartition, int] = consumer.end_offsets(list(consumer.assignment()))
        self._left: int = sum(self._ends.values()) + 1
        self._progress_at = time.monotonic()

    def reached(self) -> bool:
        """Whether everything that was there has been read.

        Raises:
            CommandError: Nothing came for :data:`STALL_TIMEOUT_S`.
        """
        left = sum(max(0, end - int(self._consumer.position(partition))) for partition, end in self._ends.items())
        now = time.monotonic()
        if left != self._left:
            self._left, self._progress_at = left, now
        elif left and now - self._progress_at > STALL_TIMEOUT_S:
            raise CommandError(
                f"the broker has sent nothing for {STALL_TIMEOUT_S} s although {left} offsets are left to read;"
                " see whether it is healthy with `tickcast status`"
            )
        return left == 0


def poll(consumer: KafkaConsumer, timeout_ms: int) -> list[ConsumerRecord]:
    """The next records, in order within each partition; empty after the timeout."""
    polled: dict[TopicPartition, list[ConsumerRecord]] = consumer.poll(timeout_ms=timeout_ms)
    batches = list(polled.values())
    return batches[0] if len(batches) == 1 else [record for batch in batches for record in batch]


def read_committed(kafka: KafkaSettings, topics: Sequence[Topic]) -> Iterator[ConsumerRecord]:
    """Every committed record that is in some topics now, from their beginning, in order within a partition.

    Raises:
        CommandError: No broker answers, a topic does not exist, or the broker stops answering.
    """
    consumer = open_consumer(kafka, topics)
    try:
        end = TopicEnd(consumer)
        while not end.reached():
            yield from poll(consumer, timeout_ms=250)
    finally:
        consumer.close()


def _partitions(consumer: KafkaConsumer, name: str) -> list[int]:
    partitions = sorted(consumer.partitions_for_topic(name))
    if not partitions:
        raise CommandError(
            f"the topic {name} does not exist; `tickcast up` creates the topics, and"
            " TICKCAST_KAFKA__TOPIC_PREFIX is the first part of their names"
        )
    return partitions
