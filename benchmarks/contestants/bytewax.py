"""Bytewax, at least once: its Kafka output has no transactions. Batches all through, as its operators offer them.

It runs as so many processes, each with one worker; a symbol's memory is snapshot at the end of each epoch.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bytewax.operators as op
from bytewax._bytewax import cluster_main
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir

from benchmarks.assignment import Assignment
from benchmarks.work import Row, Work

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bytewax.connectors.kafka import KafkaSourceMessage

BATCH = 1_000


def flow_of(assignment: Assignment) -> Dataflow:
    """The dataflow."""
    work = Work()

    def parsed(batch: list[KafkaSourceMessage]) -> list[tuple[str, Any]]:
        ticks = []
        for one in batch:
            tick = work.parse(one.value, one.timestamp[1])
            ticks.append((tick.symbol, (tick, one.partition, one.offset)))
        return ticks

    def answered(batch: list[tuple[str, Row]]) -> list[KafkaSinkMessage]:
        messages = work.messages([row for _, row in batch])
        return [
            KafkaSinkMessage(row.symbol.encode(), message) for (_, row), message in zip(batch, messages, strict=True)
        ]

    brokers = [assignment.bootstrap_servers]
    flow = Dataflow("peer")
    read = kop.input("read", flow, brokers=brokers, topics=[assignment.ticks], batch_size=BATCH)
    ticks = op.flat_map_batch("parse", read.oks, parsed)
    rows = op.stateful_batch("remember", ticks, lambda snapshot: Memory(work, snapshot))
    answers = op.flat_map_batch("score", rows, answered)
    kop.output(
        "write",
        answers,
        brokers=brokers,
        topic=assignment.predictions,
        add_config={"compression.type": "lz4", "linger.ms": "5", "queue.buffering.max.messages": "500000"},
    )
    return flow


class Memory(StatefulBatchLogic[Any, Row, Any]):
    """A symbol's memory; the first tick tells whose it is, because the engine does not.

    Args:
        work: The worker's work.
        snapshot: Symbol and bytes; None for a new symbol.
    """

    def __init__(self, work: Work, snapshot: tuple[str, bytes] | None) -> None:
        self._work = work
        self._symbol = ""
        if snapshot is not None:
            self._symbol, data = snapshot
            work.recall(self._symbol, [data])

    def on_batch(self, values: list[Any]) -> tuple[Iterable[Row], bool]:
        """The rows of some of its ticks."""
        self._symbol = values[0][0].symbol
        return [self._work.take(*one) for one in values], StatefulBatchLogic.RETAIN

    def snapshot(self) -> tuple[str, bytes]:
        """Its symbol and bytes."""
        return self._symbol, self._work.snapshot(self._symbol)


def main() -> None:
    """Runs until ended."""
    assignment = Assignment.from_environment()
    states = Path(assignment.folder) / str(assignment.worker)
    states.mkdir(parents=True, exist_ok=True)
    if assignment.worker == 0:
        init_db_dir(states, assignment.workers)
    cluster_main(
        flow_of(assignment),
        assignment.addresses.split(","),
        assignment.worker,
        epoch_interval=timedelta(milliseconds=assignment.commit_ms),
        recovery_config=RecoveryConfig(states),
    )


if __name__ == "__main__":
    main()
