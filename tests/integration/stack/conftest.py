"""`tickcast` as a process, against a stack of the test's own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from kafka import KafkaProducer

from console.errors import CommandError
from console.job import stop_job
from console.kafka_io import read_committed
from console.stack.topics import create_topics
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from console.stack.flink import FlinkCluster
    from console.stack.kafka import KafkaBroker
    from jobs.settings import Settings

TIMEOUT_S = 240
WAIT_S = 90


@dataclass
class StackOnTrial:
    """A stack that is handled through the command only."""

    environment: dict[str, str]
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = Path(self.environment["TICKCAST_STACK__HOME"])

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``tickcast`` and do not wait."""
        return subprocess.Popen(
            [sys.executable, "-m", "console.main", *arguments],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of ``tickcast``."""
        process = self.popen(*arguments)
        try:
            output, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
        return process.returncode, output, errors

    def must(self, *arguments: str) -> str:
        """Standard output of ``tickcast``, which must succeed."""
        code, output, errors = self.run(*arguments)
        assert code == 0, errors
        return output

    def status(self) -> dict[str, Any]:
        """What ``tickcast status --json`` says."""
        _, output, errors = self.run("status", "--json")
        assert output, errors
        status: dict[str, Any] = json.loads(output.splitlines()[-1])
        return status

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {file.stem: int(file.read_text().split()[0]) for file in (self.home / "run").glob("*.pid")}

    def logs(self, *names: str) -> str:
        """What some processes have logged."""
        files = [self.home / "logs" / f"{name}.log" for name in names]
        return "\n".join(f"{file.name}:\n{file.read_text()}" for file in files if file.exists())

    def kill(self, *names: str) -> None:
        """Kill processes as the kernel would, all at once, and wait until they are gone."""
        processes = [psutil.Process(self.pids()[name]) for name in names]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    @staticmethod
    def runs(pid: int) -> bool:
        """Whether a process is there; one that has ended and waits for its parent to take note is not."""
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@pytest.fixture
def new_stack(new_environment: Callable[[], dict[str, str]]) -> Iterator[Callable[..., StackOnTrial]]:
    """Makes a stack that is not started yet; whatever is left of it in the end is stopped and removed."""
    made: list[StackOnTrial] = []

    def make(**changes: str) -> StackOnTrial:
        made.append(StackOnTrial({**new_environment(), **changes}))
        return made[-1]

    yield make
    for stack in made:
        stack.run("down", "--purge")


@pytest.fixture(scope="module")
def stack(new_environment: Callable[[], dict[str, str]]) -> Iterator[StackOnTrial]:
    """A stack that is up, and in which what is killed stays dead."""
    on_trial = StackOnTrial(new_environment())
    try:
        on_trial.must("up", "--no-supervise")
        yield on_trial
    finally:
        on_trial.run("down", "--purge")


@pytest.fixture(scope="module")
def supervised_stack(new_environment: Callable[[], dict[str, str]]) -> Iterator[StackOnTrial]:
    """A stack in which what is killed comes back; its first `up` was killed half-way, the second completed it."""
    on_trial = StackOnTrial(new_environment())
    try:
        interrupted = on_trial.popen("up")
        deadline = time.monotonic() + WAIT_S
        while not {"kafka", "jobmanager"} <= set(on_trial.pids()) and time.monotonic() < deadline:
            time.sleep(0.01)
        interrupted.kill()
        interrupted.communicate()
        on_trial.must("up")
        yield on_trial
    finally:
        on_trial.run("down", "--purge")


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
    monkeypatch.setattr("console.flink_run.PROGRAM", Path(__file__).with_name("passthrough_job.py"))
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


@pytest.fixture
def await_copied(settings: Settings) -> Callable[[int], list[int]]:
    """Numbers that the job has committed, each as often as it was, once there are at least so many."""

    def read(count: int) -> list[int]:
        deadline = time.monotonic() + WAIT_S
        while True:
            copied = sorted(int(record.value) for record in read_committed(settings.kafka, [Topic.LATE]))
            if len(copied) >= count or time.monotonic() > deadline:
                return copied
            time.sleep(0.1)

    return read
