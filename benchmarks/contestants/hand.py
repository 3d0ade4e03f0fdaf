"""What both loops written by hand share: clients, partitions, and the transaction around what was read and written."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from benchmarks.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Message

    from benchmarks.assignment import Assignment

Answer = tuple[bytes | None, bytes]


def run_loop(assignment: Assignment, batch: int, answers: Callable[[Work, list[Message]], list[Answer]]) -> None:
    """Reads, answers and commits until it is told to end.

    Each worker takes every n-th partition. Offsets and answers are committed in one transaction; the symbols' memory is
    in none, so that a crash would lose it.

    Args:
        assignment: What to do.
        batch: Most messages that are read at once.
        answers: Key and value of the answer to each message.
    """
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    work = Work()
    consumer, producer = _clients(assignment)
    last_commit, uncommitted, ends = time.monotonic(), 0, {}
    while not stopped:
        messages = [one for one in consumer.consume(batch, timeout=0.05) if one.error() is None]
        if messages:
            if not uncommitted:
                producer.begin_transaction()
            for message, (key, value) in zip(messages, answers(work, messages), strict=True):
                _produce(producer, assignment.predictions, key, value)
                ends[message.partition()] = message.offset() + 1
            uncommitted += len(messages)
            producer.poll(0)
        if uncommitted and (batch > 1 or time.monotonic() - last_commit >= assignment.commit_s):
            offsets = [TopicPartition(assignment.ticks, partition, offset) for partition, offset in ends.items()]
            producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
            producer.commit_transaction()
            last_commit, uncommitted, ends = time.monotonic(), 0, {}
    consumer.close()


def _clients(assignment: Assignment) -> tuple[Consumer, Producer]:
    consumer = Consumer(
        {
            "bootstrap.servers": assignment.bootstrap_servers,
            "group.id": assignment.group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    mine = range(assignment.worker, assignment.partitions, assignment.workers)
    consumer.assign([TopicPartition(assignment.ticks, partition, OFFSET_BEGINNING) for partition in mine])
    producer = Producer(
        {
            "bootstrap.servers": assignment.bootstrap_servers,
            "transactional.id": f"{assignment.group}-{assignment.worker}",
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 500_000,
        }
    )
    producer.init_transactions()
    return consumer, producer


def _produce(producer: Producer, topic: str, key: bytes | None, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.05)
        else:
            return
