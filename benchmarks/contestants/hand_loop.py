"""A loop written by hand with confluent-kafka: one tick after the other, committed every half second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.assignment import Assignment
from benchmarks.contestants.hand import run_loop

if TYPE_CHECKING:
    from confluent_kafka import Message

    from benchmarks.contestants.hand import Answer
    from benchmarks.work import Work


def answers(work: Work, messages: list[Message]) -> list[Answer]:
    """The answers, each scored by itself."""
    return [
        (one.key(), work.one(one.value(), one.timestamp()[1], one.partition(), one.offset())[1]) for one in messages
    ]


if __name__ == "__main__":
    run_loop(Assignment.from_environment(), 1, answers)
