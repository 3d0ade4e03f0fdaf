"""Submitting, stopping and losing a job on a real cluster, with a real broker to count what it wrote."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from kafka import KafkaProducer

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.job import job_health, stop_job, submit_job
from console.job_record import JobRecord
from console.kafka_io import read_committed
from console.stack.topics import create_topics
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from console.stack.flink import FlinkCluster
    from console.stack.kafka import KafkaBroker
    from jobs.settings import Settings

pytestmark = pytest.mark.timeout(300)

WAIT_S = 60


@pytest.fixture
def settings(
    flink: FlinkCluster,
    broker: KafkaBroker,
    stack_settings: Settings,
    stack_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """Settings of a deployment with empty topics, in whose cluster no job runs."""
    del broker
    kafka = stack_settings.kafka.model_copy(update={"topic_prefix": f"job{time.time_ns()}"})
    settings = stack_settings.model_copy(update={"kafka": kafka})
    for variable, value in {**stack_environment, "TICKCAST_KAFKA__TOPIC_PREFIX": kafka.topic_prefix}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("console.job.PROGRAM", Path(__file__).with_name("passthrough_job.py"))
    create_topics(settings)
    yield settings
    flink.start()
    with contextlib.suppress(CommandError):
        stop_job(settings)


@pytest.fixture
def tick(settings: Settings) -> Iterator[Callable[[range], None]]:
    """Sends messages that are told apart by a number."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers)) as producer:

        def send(numbers: range) -> None:
            for number in numbers:
                producer.send(topic_name(Topic.TICKS, settings.kafka), str(number).encode())
            producer.flush(timeout=WAIT_S)

        yield send


def await_copied(settings: Settings, count: int) -> list[int]:
    """Numbers that the job has committed, once there are at least so many."""
    deadline = time.monotonic() + WAIT_S
    while True:
        copied = sorted(int(record.value) for record in read_committed(settings.kafka, [Topic.LATE]))
        if len(copied) >= count or time.monotonic() > deadline:
            return copied
        time.sleep(0.1)


def test_a_job_runs_once_and_goes_on_from_its_savepoint_at_another_parallelism(
    settings: Settings, tick: Callable[[range], None]
) -> None:
    tick(range(10))
    submit_job(settings)
    assert job_health(settings).healthy
    assert await_copied(settings, 10) == list(range(10))
    with pytest.raises(CommandError, match="already runs"):
        submit_job(settings)

    savepoint = stop_job(settings)
    assert job_health(settings).detail == "not submitted"
    tick(range(10, 20))
    assert JobRecord(settings.home).latest_state() == savepoint
    wider = settings.model_copy(update={"flink": settings.flink.model_copy(update={"parallelism": 4})})
    job = submit_job(wider, savepoint)

    assert sum(FlinkRest(settings.flink.rest_address).task_states(job.id).values()) % 4 == 0
    assert await_copied(settings, 20) == list(range(20))


def test_after_the_jobmanager_was_killed_the_job_goes_on_from_its_last_checkpoint(
    settings: Settings, flink: FlinkCluster, tick: Callable[[range], None]
) -> None:
    tick(range(10))
    submit_job(settings)
    await_copied(settings, 10)
    jobmanager = psutil.Process(flink.processes()[0].pid)
    jobmanager.kill()
    psutil.wait_procs([jobmanager], timeout=10)

    flink.start()
    assert not job_health(settings).healthy
    assert "tickcast submit" in job_health(settings).detail
    tick(range(10, 20))
    submit_job(settings, JobRecord(settings.home).latest_state())

    assert await_copied(settings, 20) == list(range(20))


def test_a_savepoint_that_does_not_exist_is_named(settings: Settings) -> None:
    with pytest.raises(CommandError, match=r"/no/such/savepoint"):
        submit_job(settings, "/no/such/savepoint")


def test_more_parallel_subtasks_than_slots_are_refused_with_the_remedy(settings: Settings) -> None:
    greedy = settings.model_copy(update={"flink": settings.flink.model_copy(update={"parallelism": 99})})
    with pytest.raises(CommandError, match="TICKCAST_STACK__TASK_SLOTS"):
        submit_job(greedy)
