"""``tickcast lag``: how far the job is behind the ticks, and the Redis view and the history behind the job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, NamedTuple

import orjson
import typer
from kafka.errors import KafkaError
from rich import box
from rich.console import Console
from rich.table import Table

from console.history import PostgresHistory
from console.history_schema import TABLES
from console.kafka_io import open_consumer, unreachable
from console.view import TOPICS, RedisView
from jobs.settings import Settings
from jobs.topics import Topic, consumer_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafka import KafkaConsumer, TopicPartition

    from console.kafka_io import Isolation
    from jobs.settings import KafkaSettings

_READ_TIMEOUT_S = 10
_NEAR_END = 100
"""The newest record is looked for among this many offsets before the end."""


class _Reader(NamedTuple):
    name: str
    topics: tuple[Topic, ...]
    isolation: Isolation


_READERS = (
    # The job reads the ticks twice: for the symbols, and faster for the market's snapshots.
    _Reader("job-ticks", (Topic.TICKS,), "read_committed"),
    _Reader("job-market-ticks", (Topic.TICKS,), "read_committed"),
    _Reader(RedisView.name, TOPICS, "read_uncommitted"),
    _Reader(PostgresHistory.name, tuple(TABLES), "read_committed"),
)


class PartitionLag(NamedTuple):
    """How far one reader is in one partition."""

    reader: str
    topic: str
    partition: int
    position: int | None
    """Offset of the next record to read; None if the reader never said how far it is."""
    end: int
    """Offset after the last record that the reader may see."""
    lag: int
    """Offsets between the two; a transaction's marker takes one too."""
    behind_s: float | None
    """Record time from the first unread record to the newest, in seconds: trade time for ticks.
    None where no unread record could be read, such as under a transaction that was aborted."""


def partition_lags(kafka: KafkaSettings) -> list[PartitionLag]:
    """How far every reader is in every partition it reads.

    Raises:
        CommandError: No broker answers, or a topic does not exist.
    """
    try:
        return [lag for reader in _READERS for lag in _lags(kafka, reader)]
    except KafkaError as error:
        raise unreachable(kafka, error) from error


def _lags(kafka: KafkaSettings, reader: _Reader) -> list[PartitionLag]:
    group = consumer_group(reader.name, kafka)
    consumer = open_consumer(kafka, reader.topics, isolation=reader.isolation, group=group, max_records=_NEAR_END)
    try:
        partitions = sorted(consumer.assignment())
        ends = consumer.end_offsets(partitions)
        beginnings = consumer.beginning_offsets(partitions)
        positions = {partition: consumer.committed(partition) for partition in partitions}
        # What lies before the beginning was deleted; nobody can be behind by it.
        unread_from = {
            partition: beginnings[partition] if position is None else max(position, beginnings[partition])
            for partition, position in positions.items()
        }
        lags = {partition: max(0, ends[partition] - unread_from[partition]) for partition in partitions}
        unread = {partition: offset for partition, offset in unread_from.items() if lags[partition]}
        behind = _behind(consumer, unread, ends) if unread else {}
    finally:
        consumer.close()
    return [
        PartitionLag(
            reader=reader.name,
            topic=partition.topic,
            partition=partition.partition,
            position=positions[partition],
            end=ends[partition],
            lag=lags[partition],
            behind_s=behind.get(partition) if lags[partition] else 0.0,
        )
        for partition in partitions
    ]


def _behind(
    consumer: KafkaConsumer, unread_from: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, float]:
    """Seconds of record time from the first unread record to the newest, where both could be read."""
    # The broker would tell the largest timestamp, but counts the markers of transactions, which carry the clock's time.
    near_end = {partition: max(offset, ends[partition] - _NEAR_END) for partition, offset in unread_from.items()}
    first = _record_times(consumer, unread_from, ends, count=1)
    newest = _record_times(consumer, near_end, ends, count=_NEAR_END)
    return {
        partition: max(0.0, (max(newest[partition]) - first[partition][0]) / 1000)
        for partition in unread_from
        if first[partition] and newest[partition]
    }


def _record_times(
    consumer: KafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], count: int
) -> dict[TopicPartition, list[int]]:
    """Timestamps of up to `count` records of each partition, or a few more."""
    times: dict[TopicPartition, list[int]] = {partition: [] for partition in starts}
    consumer.assign(list(starts))
    consumer.resume(*starts)
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
    waiting = set(starts)
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while waiting and time.monotonic() < deadline:
        for partition, records in consumer.poll(timeout_ms=100).items():
            times[partition] += [record.timestamp for record in records]
        # Markers and aborted records move the position without yielding a record.
        done = {p for p in waiting if len(times[p]) >= count or consumer.position(p) >= ends[p]}
        consumer.pause(*done)
        waiting -= done
    return times


def lag(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Say how far the job is behind the ticks, and the Redis view and the history behind the job."""
    lags = partition_lags(Settings().kafka)
    if as_json:
        typer.echo(orjson.dumps({"readers": _by_reader(lags)}))
        return
    table = Table(
        "reader", "topic", "partition", "position", "end", "lag", "behind", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for one in lags:
        table.add_row(
            one.reader,
            one.topic,
            str(one.partition),
            "-" if one.position is None else f"{one.position:,}",
            f"{one.end:,}",
            f"{one.lag:,}",
            "-" if one.behind_s is None else f"{one.behind_s:,.1f} s",
        )
    Console().print(table)


def _by_reader(lags: list[PartitionLag]) -> dict[str, dict[str, object]]:
    return {
        reader.name: {
            "lag": sum(one.lag for one in lags if one.reader == reader.name),
            "behind_s": max((one.behind_s or 0.0 for one in lags if one.reader == reader.name), default=0.0),
            "partitions": [
                {name: value for name, value in one._asdict().items() if name != "reader"}
                for one in lags
                if one.reader == reader.name
            ],
        }
        for reader in _READERS
    }
