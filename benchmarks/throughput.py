"""How many ticks a second a contestant answers, by what a read-committed reader could see and when.

While it runs, only the ends of the predictions' topic are asked for, twenty times a second, as far as committed records
reach (the last stable offset): a reader of all messages would take a good part of one of the cores. Which offsets were
records, and not the marks of transactions, is counted afterwards.

The first fifth of the ticks, or what comes in the first 15 s after the first committed answer, is warm-up. From the
moment at which its end was seen, to the one at which the last committed record was seen, all records in between count.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import orjson
import psutil
from kafka import KafkaConsumer, TopicPartition

from console.errors import CommandError
from console.kafka_io import TopicEnd, connection_config, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.runs import Run
    from jobs.settings import KafkaSettings

WARM_UP_SHARE, WARM_UP_S = 0.2, 15.0
_LOOK_EVERY_S = 0.05
_CPU_EVERY_S = 0.5
_STILL_S = 3.0
"""When all ticks may have been answered and the ends stand still for so long, they have."""
_STALL_S, _START_S = 90.0, 240.0
"""A contestant that commits nothing for so long is given up; its first answer may take longer."""


class Sample(NamedTuple):
    """How far a read-committed reader could read at one moment.

    Attributes:
        at: The moment, s, of a clock that does not jump.
        ends: End of each partition.
    """

    at: float
    ends: tuple[int, ...]


class Usage(NamedTuple):
    """What the contestant had used at one moment: CPU seconds since its start, and its memory, bytes."""

    at: float
    cpu_s: float
    memory: int


class Throughput(NamedTuple):
    """What a run gave.

    Attributes:
        ticks_per_s: Ticks answered in a second, after warm-up.
        answered: Committed answers, in all.
        measured: Those after warm-up.
        seconds: How long the measured part took.
        first_answer_s: From the contestant's start to its first committed answer.
        cpu_us_per_tick: CPU time of the contestant's own processes for each measured tick.
        peak_memory_mb: Most memory that its processes had together; pages that they share count in each.
    """

    ticks_per_s: float
    answered: int
    measured: int
    seconds: float
    first_answer_s: float
    cpu_us_per_tick: float
    peak_memory_mb: float


class Output(NamedTuple):
    """What a contestant has written.

    Attributes:
        offsets: Per partition: offsets of the committed records, rising.
        values: All committed records.
    """

    offsets: tuple[list[int], ...]
    values: list[bytes]


def watch(run: Run, kafka: KafkaSettings, topic: str, ticks: int, limit_s: float) -> tuple[list[Sample], list[Usage]]:
    """Looks at a running contestant until every tick is answered, or for so long after its first answer.

    Args:
        run: The contestant.
        kafka: Where the broker is.
        topic: Where it writes.
        ticks: How many ticks there are.
        limit_s: Longest time from the first answer on.

    Raises:
        CommandError: It ended, or nothing came for long.
    """
    samples: list[Sample] = []
    usages: list[Usage] = []
    with closing(consumer_of(kafka, topic)) as consumer:
        started = progress_at = looked_at = time.monotonic()
        first_at = None
        while True:
            ends = committed_ends(consumer)
            now = time.monotonic()
            sample = Sample(now, ends)
            if not samples or sample.ends != samples[-1].ends:
                samples.append(sample)
                progress_at = now
            if now - looked_at >= _CPU_EVERY_S:
                looked_at = now
                run.check()
                usages.append(usage(run.processes()))
            reached = sum(sample.ends)
            if reached and first_at is None:
                first_at = now
            if reached >= ticks and now - progress_at > _STILL_S:
                return samples, usages
            if first_at is not None and now - first_at > limit_s:
                return samples, usages
            patience = _STALL_S if first_at is not None else _START_S
            if now - progress_at > patience:
                raise CommandError(
                    f"nothing was committed for {patience:g} s, {reached:,} of {ticks:,} ticks after"
                    f" {now - started:.0f} s"
                )
            time.sleep(_LOOK_EVERY_S)


def throughput(
    samples: Sequence[Sample], usages: Sequence[Usage], offsets: Sequence[list[int]], ticks: int, started: float
) -> Throughput:
    """What the samples say.

    Args:
        samples: In order; each differs from the one before.
        usages: In order.
        offsets: Per partition: offsets of the committed records.
        ticks: How many ticks there were.
        started: When the contestant was started, by the samples' clock.

    Raises:
        CommandError: There is too little to measure.
    """
    records = [sum(map(bisect_left, offsets, sample.ends)) for sample in samples]
    answered = records[-1] if records else 0
    first = next((number for number, count in enumerate(records) if count), None)
    if first is None:
        raise CommandError("no answer was committed")
    warm = next(
        number
        for number, count in enumerate(records)
        if count >= WARM_UP_SHARE * ticks
        or (count and samples[number].at >= samples[first].at + WARM_UP_S)
        or count == answered
    )
    last = records.index(answered)
    measured, seconds = answered - records[warm], samples[last].at - samples[warm].at
    if not measured:
        raise CommandError(f"all {answered:,} answers came at once: take more ticks")
    begin, end = _usage_at(usages, samples[warm].at), _usage_at(usages, samples[last].at)
    return Throughput(
        ticks_per_s=measured / seconds,
        answered=answered,
        measured=measured,
        seconds=seconds,
        first_answer_s=samples[first].at - started,
        cpu_us_per_tick=(end - begin) * 1e6 / measured,
        peak_memory_mb=max((one.memory for one in usages), default=0) / 1e6,
    )


def usage(processes: Sequence[psutil.Process]) -> Usage:
    """What some processes have used."""
    cpu_s, memory = 0.0, 0
    for process in processes:
        try:
            times = process.cpu_times()
            memory += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        cpu_s += times.user + times.system
    return Usage(time.monotonic(), cpu_s, memory)


def _usage_at(usages: Sequence[Usage], at: float) -> float:
    """CPU seconds at a moment, between the two looks around it."""
    before = max((one for one in usages if one.at <= at), default=usages[0] if usages else Usage(at, 0.0, 0))
    after = min((one for one in usages if one.at > at), default=before)
    if after.at <= before.at:
        return before.cpu_s
    return before.cpu_s + (after.cpu_s - before.cpu_s) * (at - before.at) / (after.at - before.at)


def read_output(kafka: KafkaSettings, topic: str) -> Output:
    """All committed records of a topic."""
    with closing(consumer_of(kafka, topic)) as consumer:
        numbers = {partition.partition: [] for partition in consumer.assignment()}  # type: dict[int, list[int]]
        values: list[bytes] = []
        end = TopicEnd(consumer)
        while not end.reached():
            for record in poll(consumer, timeout_ms=250):
                numbers[record.partition].append(record.offset)
                values.append(record.value)
    return Output(tuple(numbers[number] for number in sorted(numbers)), values)


def read_head(kafka: KafkaSettings, topic: str, count: int) -> list[tuple[int, int, int, bytes]]:
    """The first records of each partition: partition, offset, timestamp (ms), value; in order within a partition."""
    with closing(consumer_of(kafka, topic)) as consumer:
        head: list[tuple[int, int, int, bytes]] = []
        end = TopicEnd(consumer)
        left = dict.fromkeys(consumer.assignment(), count)
        while any(left.values()) and not end.reached():
            for record in poll(consumer, timeout_ms=250):
                partition = TopicPartition(record.topic, record.partition)
                if left[partition]:
                    left[partition] -= 1
                    head.append((record.partition, record.offset, record.timestamp, record.value))
            consumer.pause(*(partition for partition, more in left.items() if not more))
            if not any(left.values()):
                break
    return head


def read_json(kafka: KafkaSettings, topic: str, keep: Callable[[dict[str, object]], bool]) -> list[dict[str, object]]:
    """Those committed JSON messages of a topic that are to be kept."""
    return [message for value in read_output(kafka, topic).values if keep(message := orjson.loads(value))]


def committed_ends(consumer: KafkaConsumer) -> tuple[int, ...]:
    """How far a read-committed reader of the assigned partitions could read, partition by partition."""
    ends = consumer.end_offsets(list(consumer.assignment()))
    return tuple(int(ends[partition]) for partition in sorted(ends))


def consumer_of(kafka: KafkaSettings, topic: str) -> KafkaConsumer:
    """A read-committed consumer of all partitions of a topic, from their beginning."""
    consumer = KafkaConsumer(
        **connection_config(kafka),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=20_000,
        metrics_enabled=False,
    )
    consumer.assign([TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())])
    return consumer
