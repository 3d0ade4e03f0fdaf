"""What a long run is watched for: memory, checkpoints, lag, and whether they grow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.job_record import JobRecord
from console.kafka_io import open_consumer
from console.stack.flink import TASKMANAGERS
from console.stack.process import DetachedProcess
from console.stack.python_workers import python_workers
from jobs.topics import Topic, consumer_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafka import TopicPartition

    from jobs.settings import Settings

_MB = 1_000_000
_STEADY_AFTER = 1 / 3
"""The first part of a run, in which heaps and caches fill, is left out of a slope."""
_JOB = "job-ticks"


class Sample(NamedTuple):
    """One look; memory in MB of resident pages."""

    at: float
    """Seconds of a clock that does not go back."""
    jobmanager_mb: float
    taskmanager_mb: float
    """JVM of the TaskManager that has the job."""
    native_mb: float
    """The same without its heap, which is of a fixed size and touched little by little."""
    heap_mb: float
    """Used heap of the same, garbage included."""
    workers_mb: float
    """All Python workers together."""
    checkpoint_kb: float
    """State of the newest checkpoint."""
    checkpoint_ms: float
    """How long it took."""
    lag: int
    """Ticks that the job has not read at its last checkpoint."""

    def as_line(self) -> str:
        """For people."""
        return (
            f"TaskManager {self.taskmanager_mb:,.0f} MB, workers {self.workers_mb:,.0f} MB, checkpoint"
            f" {self.checkpoint_kb:,.0f} kB in {self.checkpoint_ms:,.0f} ms, lag {self.lag:,}"
        )


class Trend(NamedTuple):
    """How one figure went."""

    first: float
    """Median of the steady part's first tenth."""
    last: float
    """Median of its last tenth."""
    worst: float
    """Highest of the whole run."""
    per_hour: float
    """Slope of the steady part: Theil and Sen's, the median of the slopes between all pairs of samples."""


class Sampler:
    """Looks at a local stack.

    Args:
        settings: Where it is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rest = FlinkRest(settings.flink.rest_address)
        self._record = JobRecord(settings.home)
        self._ticks = open_consumer(settings.kafka, [Topic.TICKS], group=consumer_group(_JOB, settings.kafka))
        self._last: Sample | None = None

    def close(self) -> None:
        """Disconnects."""
        self._ticks.close()

    def take(self) -> Sample:
        """One look; a figure that can't be had at this moment is the one before."""
        workers = {name: python_workers(DetachedProcess(self._settings.home, name).pid) for name in TASKMANAGERS}
        name = max(workers, key=lambda name: len(workers[name]))
        taskmanager = self._process(name)
        size, duration = self._checkpoint()
        before = self._last
        sample = Sample(
            at=time.monotonic(),
            jobmanager_mb=_resident(self._process("jobmanager")),
            taskmanager_mb=_resident(taskmanager),
            native_mb=_outside_heap(taskmanager),
            heap_mb=self._heap(name),
            workers_mb=sum(_resident(worker) for worker in workers[name]),
            checkpoint_kb=size if size or before is None else before.checkpoint_kb,
            checkpoint_ms=duration if size or before is None else before.checkpoint_ms,
            lag=self.lag(),
        )
        self._last = sample
        return sample

    def lag(self) -> int:
        """Ticks that the job had not read at its last checkpoint."""
        ends: dict[TopicPartition, int] = self._ticks.end_offsets(list(self._ticks.assignment()))
        return sum(max(0, end - (self._ticks.committed(partition) or 0)) for partition, end in ends.items())

    def _process(self, name: str) -> psutil.Process | None:
        pid = DetachedProcess(self._settings.home, name).pid
        return None if pid is None else psutil.Process(pid)

    def _heap(self, taskmanager: str) -> float:
        try:
            return self._rest.used_heap(taskmanager) / _MB
        except CommandError:
            return 0.0 if self._last is None else self._last.heap_mb

    def _checkpoint(self) -> tuple[float, float]:
        try:
            size, duration_ms = self._rest.newest_checkpoint(self._record.job_id())
        except CommandError:
            return 0.0, 0.0
        return size / 1000, duration_ms


def trends(samples: Sequence[Sample]) -> dict[str, Trend]:
    """How each figure went over a run."""
    steady = samples[int(len(samples) * _STEADY_AFTER) :]
    tenth = max(1, len(steady) // 10)
    hours = np.array([sample.at for sample in steady]) / 3600
    found = {}
    for name in Sample._fields[1:]:
        values = np.array([getattr(sample, name) for sample in steady], float)
        found[name] = Trend(
            first=round(float(np.median(values[:tenth])), 1),
            last=round(float(np.median(values[-tenth:])), 1),
            worst=round(max(float(getattr(sample, name)) for sample in samples), 1),
            per_hour=round(_slope(hours, values), 1),
        )
    return found


def _slope(
    times: np.ndarray[tuple[int], np.dtype[np.float64]], values: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    earlier, later = np.triu_indices(len(times), k=1)
    if not len(earlier):
        return 0.0
    return float(np.median((values[later] - values[earlier]) / (times[later] - times[earlier])))


def floor_growth(samples: Sequence[Sample]) -> float:
    """By how much the used heap's lowest value, that after a collection, rose from one half of a run to the other."""
    steady = [sample.heap_mb for sample in samples[int(len(samples) * _STEADY_AFTER) :]]
    half = len(steady) // 2
    return min(steady[half:]) - min(steady[:half]) if half else 0.0


def _outside_heap(process: psutil.Process | None) -> float:
    """Resident pages of a JVM but those of its largest mapping, its heap."""
    try:
        if process is None:
            return 0.0
        mappings = [mapping.rss for mapping in process.memory_maps(grouped=False)]
        return (sum(mappings) - max(mappings, default=0)) / _MB
    except psutil.NoSuchProcess:
        return 0.0


def _resident(process: psutil.Process | None) -> float:
    try:
        return 0.0 if process is None else process.memory_info().rss / _MB
    except psutil.NoSuchProcess:
        return 0.0
