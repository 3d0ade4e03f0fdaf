"""Quix Streams, exactly once: a stateful function a tick; the memory's journal is in its RocksDB and changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quixstreams import Application, State, message_context

from benchmarks.assignment import Assignment
from benchmarks.work import FOLD_AFTER, Work

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
        del headers
        place = message_context()
        tick = work.parse(value, timestamp)
        if not work.knows(tick.symbol) and (snapshot := state.get_bytes("snapshot")) is not None:
            recall(work, tick.symbol, snapshot, state)
        row = work.take(tick, place.partition, place.offset)
        if row.sequence == 1 or row.sequence % FOLD_AFTER == 0:
            state.set_bytes("snapshot", with_offset(place.offset, work.snapshot(tick.symbol)))
        else:
            entry = work.entry(tick, place.partition, place.offset)
            state.set_bytes(str(row.sequence % FOLD_AFTER), with_offset(place.offset, entry))
        return work.messages([row])[0]

    return answer


def recall(work: Work, symbol: str, snapshot: bytes, state: State) -> None:
    """Brings a symbol's memory back: the snapshot, and those entries that are younger."""
    entries = [entry for number in range(FOLD_AFTER) if (entry := state.get_bytes(str(number))) is not None]
    elements = [snapshot, *sorted(entry for entry in entries if entry[:8] > snapshot[:8])]
    work.recall(symbol, [element[8:] for element in elements])


def with_offset(offset: int, element: bytes) -> bytes:
    """An element of the journal that tells its age: keys are used again after each snapshot."""
    return offset.to_bytes(8, "big") + element


if __name__ == "__main__":
    main()
