"""The one way of a tick into Kafka."""

from __future__ import annotations

import time
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner.default import DefaultPartitioner, murmur2

from feeds.connecting import overhearing
from feeds.source import FeedError
from state.tick import encode_tick

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from feeds.source import RawMessage
    from state.tick import Tick

DELIVERY_TIMEOUT_S = 120.0
"""How long the broker may take to confirm a message before the feed gives up."""

_TOPIC_TIMEOUT_MS = 10_000
"""How long the broker may take to say what it knows of the topic."""
_MAX_OUTSTANDING = 50_000
"""Unconfirmed messages (some 60 MB) above which `send` waits: the client itself sets no bound."""
_CHECKPOINT = 5_000
"""One in so many deliveries is kept to be waited for."""


class TickProducer:
    """Sends ticks to one topic, idempotently, and counts what the broker confirms.

    The key is the symbol, the record timestamp is the trade's time. A failed delivery raises at the next
    call, and at the latest when the producer is closed; nothing fails in silence.

    Args:
        client_config: How to reach the broker, in kafka-python's names.
        topic: Name of the topic; it must exist.
        max_ahead_ms: A record may be so many ms ahead of this machine's clock. The broker refuses what is
            further ahead, with all its batch, so such a record gets the present time instead; its own
            `timestamp` field stays and makes it a dead letter. None: no bound.

    Attributes:
        sent: Messages handed in.
        delivered: Messages the broker has confirmed.
        failed: Messages the broker has refused, or not confirmed in time.
        first_error: A sentence about the first failure, or None.

    Raises:
        FeedError: If no broker answers or lets us in, or the topic does not exist.
    """

    def __init__(self, client_config: Mapping[str, Any], topic: str, *, max_ahead_ms: int | None = None) -> None:
        self.sent = 0
        self.delivered = 0
        self.failed = 0
        self.first_error: str | None = None
        self._topic = topic
        self._max_ahead_ms = max_ahead_ms
        self._checkpoints: deque[Any] = deque()
        self._producer = _open_producer(client_config, topic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._producer.close(timeout=5)

    def send(self, tick: Tick) -> None:
        """Sends a tick; waits while too many are unconfirmed.

        Raises:
            FeedError: If an earlier delivery has failed.
        """
        self._send(tick.symbol.encode(), encode_tick(tick), tick.event_time)

    def send_raw(self, message: RawMessage) -> None:
        """Sends a message as it is, valid or not.

        Raises:
            FeedError: If an earlier delivery has failed.
        """
        self._send(message.key, message.value, message.event_time)

    def flush(self, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        """Waits until every message is confirmed.

        Raises:
            FeedError: If a delivery has failed, or is not confirmed in `timeout_s` seconds.
        """
        try:
            self._producer.flush(timeout=timeout_s)
        except KafkaError:
            self._raise_on_failure()
            waiting = self.sent - self.delivered - self.failed
            raise FeedError(
                f"{waiting} messages to {self._topic} are not confirmed after {timeout_s:g} s; is the broker well?"
            ) from None
        self._checkpoints.clear()
        self._raise_on_failure()

    def _send(self, key: bytes | None, value: bytes | None, record_time: int) -> None:
        if self.failed:
            self._raise_on_failure()
        if self._max_ahead_ms is not None:
            now = int(time.time() * 1000)
            if record_time > now + self._max_ahead_ms:
                record_time = now
        try:
            delivery = self._producer.send(self._topic, value, key, timestamp_ms=record_time)
        except KafkaError as error:
            raise FeedError(f"a message could not be sent to {self._topic}: {_sentence(error)}") from None
        delivery.add_callback(self._on_delivered)
        delivery.add_errback(self._on_failed)
        self.sent += 1
        if self.sent % _CHECKPOINT == 0:
            self._checkpoints.append(delivery)
            if self.sent - self.delivered - self.failed > _MAX_OUTSTANDING:
                self._wait_for_room()

    def _wait_for_room(self) -> None:
        while self._checkpoints and self.sent - self.delivered - self.failed > _MAX_OUTSTANDING // 2:
            try:
                self._checkpoints.popleft().get(timeout=DELIVERY_TIMEOUT_S)
            except KafkaError as error:
                self._raise_on_failure()
                raise FeedError(f"{self._topic} takes no more messages: {_sentence(error)}") from None

    def _on_delivered(self, _metadata: Any) -> None:
        self.delivered += 1

    def _on_failed(self, error: Exception) -> None:
        if self.first_error is None:
            self.first_error = _sentence(error)
        self.failed += 1

    def _raise_on_failure(self) -> None:
        if self.failed:
            raise FeedError(
                f"{self.failed} of {self.sent} messages to {self._topic} were not delivered; "
                f"the first one failed with: {self.first_error}"
            )


class _SymbolPartitioner(DefaultPartitioner):  # type: ignore[misc]
    """Kafka's default partitioning, remembering the few hundred keys there are: hashing in Python is slow."""

    def partition(
        self, topic: str, key: Any, serialized_key: bytes | None, value: Any, serialized_value: Any, cluster: Any
    ) -> int:
        if serialized_key is None:
            chosen: int = super().partition(topic, key, serialized_key, value, serialized_value, cluster)
            return chosen
        return _partition_of(serialized_key, len(cluster.partitions_for_topic(topic)))


@lru_cache(maxsize=10_000)
def _partition_of(key: bytes, partitions: int) -> int:
    return (int(murmur2(key)) & 0x7FFFFFFF) % partitions


def _open_producer(client_config: Mapping[str, Any], topic: str) -> Any:
    brokers = client_config["bootstrap_servers"]
    shown = brokers if isinstance(brokers, str) else ",".join(brokers)
    with overhearing() as overheard:
        try:
            producer = KafkaProducer(
                **client_config,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=5,
                batch_size=131_072,
                delivery_timeout_ms=int(DELIVERY_TIMEOUT_S * 1000),
                partitioner=_SymbolPartitioner(),
                allow_auto_create_topics=False,
                max_block_ms=_TOPIC_TIMEOUT_MS,
                metrics_enabled=False,
            )
        except (KafkaError, OSError) as error:
            if (cause := overheard.cause()) is not None:
                raise FeedError(f"the Kafka broker at {shown} can't be used: {cause}") from None
            raise FeedError(
                f"no Kafka broker answers at {shown}: {type(error).__name__}; 'tickcast up' starts one"
            ) from None
    try:
        known = producer.partitions_for(topic)
    except KafkaError:
        known = None
    if not known:
        producer.close(timeout=0)
        raise FeedError(f"the topic {topic} does not exist at {shown}; 'tickcast up' creates it")
    return producer


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__
