"""A loop written by hand with confluent-kafka: batches of up to 1,000 ticks, scored together, a transaction each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.assignment import Assignment
from benchmarks.contestants.hand import run_loop

if TYPE_CHECKING:
    from confluent_kafka import Message

    from benchmarks.contestants.hand import Answer
    from benchmarks.work import Work

BATCH = 1_000


def answers(work: Work, messages: list[Message]) -> list[Answer]:
    """The answers, all scored at once."""
    rows = [work.take(work.parse(one.value(), one.timestamp()[1]), one.partition(), one.offset()) for one in messages]
    keys = [one.key() for one in messages]
    return list(zip(keys, work.messages(rows), strict=True))


if __name__ == "__main__":
    run_loop(Assignment.from_environment(), BATCH, answers)
