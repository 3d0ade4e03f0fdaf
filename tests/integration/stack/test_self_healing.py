"""What is killed comes back by itself, and with it the job, which loses and doubles nothing."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from console.job_record import JobRecord
from console.stack.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from console.stack.component import Component
    from console.stack.flink import FlinkCluster
    from console.stack.kafka import KafkaBroker
    from jobs.settings import Settings
    from tests.integration.stack.conftest import StackOnTrial

pytestmark = pytest.mark.timeout(600)

SERVERS = {"kafka", "redis", "postgres"}
COMPONENTS = {*SERVERS, "flink", "view", "history"}
PROCESSES = {*SERVERS, "jobmanager", "taskmanager", "view", "history"}
BACK_S = 120
"""Far above the ten to twenty seconds of a quiet machine."""


@pytest.fixture
def supervised_flink(settings: Settings, flink: FlinkCluster) -> Iterator[FlinkCluster]:
    """A Flink cluster under supervision."""
    stop = threading.Event()
    supervisor = threading.Thread(target=Supervisor(settings, [flink], stop).run)
    supervisor.start()
    yield flink
    stop.set()
    supervisor.join()
    for reserve in flink.standbys():
        reserve.stop()


def kill(part: Component) -> None:
    """Kill a part of the stack as the kernel would, and wait until it is gone."""
    processes = [psutil.Process(process.pid) for process in part.processes()]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)


def await_health(stack: StackOnTrial) -> dict[str, Any]:
    """What `tickcast status` says once it finds all healthy, or in the end."""
    deadline = time.monotonic() + BACK_S
    while not (status := stack.status())["healthy"] and time.monotonic() < deadline:
        time.sleep(0.5)
    return status


def test_a_job_that_was_stopped_is_not_taken_up_with_a_new_jobmanager(
    settings: Settings, supervised_flink: FlinkCluster
) -> None:
    jobmanager = supervised_flink.parts()[0]
    before = JobRecord(settings.home).read()
    kill(jobmanager)
    deadline = time.monotonic() + BACK_S
    while not jobmanager.healthy().healthy and time.monotonic() < deadline:
        time.sleep(0.1)
    assert jobmanager.healthy().healthy
    assert JobRecord(settings.home).read() == before


def test_up_completes_what_an_interrupted_up_began_and_keeps_a_taskmanager_in_reserve(
    supervised_stack: StackOnTrial,
) -> None:
    status = await_health(supervised_stack)
    assert status["healthy"], status
    deadline = time.monotonic() + BACK_S
    while "2 TaskManagers" not in (flink := supervised_stack.status()["components"]["flink"])["detail"]:
        assert time.monotonic() < deadline, flink
        time.sleep(0.5)
    assert flink["restarts"] == 0


def test_everything_that_is_killed_at_once_is_healthy_again_and_status_says_what_was_restarted(
    supervised_stack: StackOnTrial,
) -> None:
    before = supervised_stack.pids()
    supervised_stack.kill(*PROCESSES)

    status = await_health(supervised_stack)

    assert status["healthy"], status
    for name in COMPONENTS:
        assert status["components"][name]["last_restart"].endswith("its process was gone"), name
    # The others may have to try again until the servers that they need are there.
    restarts = {name: status["components"][name]["restarts"] for name in SERVERS}
    assert restarts == dict.fromkeys(SERVERS, 1), supervised_stack.logs("supervise", *SERVERS)
    after = supervised_stack.pids()
    assert not {name for name in PROCESSES if after[name] == before[name]}


def test_a_killed_supervisor_is_missed_and_up_starts_a_new_one(supervised_stack: StackOnTrial) -> None:
    before = supervised_stack.pids()
    supervised_stack.kill("supervise")
    component = supervised_stack.status()["components"]["supervise"]
    assert not component["healthy"]
    assert "tickcast up" in component["detail"]

    supervised_stack.must("up")

    after = supervised_stack.pids()
    assert supervised_stack.status()["healthy"]
    assert {name for name in after if after[name] != before[name]} == {"supervise"}


def test_down_ends_everything_of_its_own_and_nothing_of_another_stack(
    supervised_stack: StackOnTrial, broker: KafkaBroker
) -> None:
    processes = supervised_stack.pids()
    supervised_stack.must("down", "--purge")
    assert not [name for name, pid in processes.items() if supervised_stack.runs(pid)]
    assert [path.name for path in supervised_stack.home.iterdir()] == ["lock"]
    assert broker.healthy().healthy
