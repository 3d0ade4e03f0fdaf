"""Faust (faust-streaming) with its exactly-once mode: event by event; the memory's journal is in its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faust

from benchmarks.assignment import Assignment
from benchmarks.work import FOLD_AFTER, Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def application(assignment: Assignment) -> faust.App:
    """The application with its one agent."""
    app = faust.App(
        assignment.group,
        broker=f"kafka://{assignment.bootstrap_servers}",
        datadir=f"{assignment.folder}/{assignment.worker}",
        store="memory://",
        processing_guarantee="exactly_once",
        broker_commit_interval=assignment.commit_s,
        broker_check_crcs=False,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        producer_linger=0.005,
        topic_partitions=assignment.partitions,
        topic_replication_factor=1,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
    )
    ticks = app.topic(assignment.ticks, key_type=bytes, value_type=bytes)
    predictions = app.topic(assignment.predictions, key_type=bytes, value_type=bytes)
    memory = app.Table("memory", key_type=bytes, value_type=bytes, partitions=assignment.partitions)
    work = Work()

    @app.agent(ticks)
    async def answer(stream: AsyncIterator[Any]) -> None:
        async for event in stream.events():
            message = event.message
            tick = work.parse(message.value, round(message.timestamp * 1000))
            row = work.take(tick, message.partition, message.offset)
            number = 0 if row.sequence == 1 else row.sequence % FOLD_AFTER
            element = work.entry(tick, message.partition, message.offset) if number else work.snapshot(tick.symbol)
            memory[f"{tick.symbol} {number}".encode()] = element
            await predictions.send(key=message.key, value=work.messages([row])[0])

    return app


if __name__ == "__main__":
    faust.Worker(application(Assignment.from_environment()), loglevel="WARNING", console_port=0, debug=False).execute_from_commandline()
