"""Faust (faust-streaming) with its exactly-once mode: event by event; the memory's journal is in its table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faust

from benchmarks.assignment import Assignment
from benchmarks.contestants import journal
from benchmarks.work import Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_START_S = 60.0


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

    @app.on_partitions_revoked.connect
    async def forget(*_: Any, **__: Any) -> None:
        # Whoever gets them next, this worker included, goes on from what is committed.
        work.forget()

    @app.agent(ticks)
    async def answer(stream: AsyncIterator[Any]) -> None:
        async for event in stream.events():
            message = event.message
            tick = work.parse(message.value, round(message.timestamp * 1000))
            symbol = tick.symbol

            def get(name: str, symbol: str = symbol) -> bytes | None:
                return memory.get(f"{symbol} {name}".encode())

            def put(name: str, element: bytes, symbol: str = symbol) -> None:
                memory[f"{symbol} {name}".encode()] = element

            row = journal.take(work, tick, message.partition, message.offset, get, put)
            await predictions.send(key=message.key, value=work.messages([row])[0])

    return app


def await_the_others(assignment: Assignment) -> None:
    """Waits until every worker is about to begin: one that joins later would take partitions from those at work.

    What Faust has under way then is answered twice, or from a memory that lacks something, its exactly-once mode
    notwithstanding.

    Raises:
        TimeoutError: One of them does not come.
    """
    folder = Path(assignment.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"ready-{assignment.worker}").touch()
    deadline = time.monotonic() + _START_S
    while len(list(folder.glob("ready-*"))) < assignment.workers:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of the {assignment.workers} workers were ready in {_START_S:g} s")
        time.sleep(0.01)


if __name__ == "__main__":
    mine = Assignment.from_environment()
    worker = faust.Worker(application(mine), loglevel="WARNING", console_port=0, debug=False)
    await_the_others(mine)
    worker.execute_from_commandline()
