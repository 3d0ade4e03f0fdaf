"""Quix Streams, exactly once: a stateful function a tick; the memory's journal is in its RocksDB and changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quixstreams import Application, State, message_context

from benchmarks.assignment import Assignment
from benchmarks.contestants import journal
from benchmarks.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Runs until told to end."""
    assignment = Assignment.from_environment()
    application = Application(
        broker_address=assignment.bootstrap_servers,
        consumer_group=assignment.group,
        auto_offset_reset="earliest",
        commit_interval=assignment.commit_s,
        processing_guarantee="exactly-once",
        state_dir=f"{assignment.folder}/{assignment.worker}",
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5},
        auto_create_topics=True,
        loglevel="WARNING",
    )
    ticks = application.topic(assignment.ticks, key_deserializer="bytes", value_deserializer="bytes")
    predictions = application.topic(assignment.predictions, key_serializer="bytes", value_serializer="bytes")
    answers = application.dataframe(ticks).apply(answer_with(Work()), stateful=True, metadata=True)
    answers.to_topic(predictions)
    application.run()


def answer_with(work: Work) -> Callable[..., bytes]:
    """The function that Quix calls for each tick."""

    def answer(value: bytes, key: Any, timestamp: int, headers: Any, state: State) -> bytes:
        del key, headers
        place = message_context()
        tick = work.parse(value, timestamp)
        row = journal.take(work, tick, place.partition, place.offset, state.get_bytes, state.set_bytes)
        return work.messages([row])[0]

    return answer


if __name__ == "__main__":
    main()
