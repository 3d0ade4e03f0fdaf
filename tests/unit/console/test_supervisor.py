from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from console.errors import CommandError
from console.job_record import JobRecord
from console.stack import supervisor
from console.stack.component import Component, Health
from console.stack.flink import TASKMANAGERS, TaskManager
from console.stack.ports import free_port
from console.stack.process import DetachedProcess
from console.stack.restarts import RestartLog, RestartPolicy
from console.stack.supervisor import PartWatch, TaskManagers
from jobs.settings import FlinkSettings, Settings, StackSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAIT_S = 20


class Sleeper(Component):
    """The smallest part of a stack: a process that does its work unless a file says otherwise."""

    name = "sleeper"
    address = ""

    def __init__(self, home: Path) -> None:
        self.process = DetachedProcess(home, self.name)
        self.hangs = home / "hangs"
        self.broken = home / "broken"
        self.puzzles = home / "puzzles"
        self.asked = 0

    def processes(self) -> list[DetachedProcess]:
        return [self.process]

    def start(self) -> None:
        if self.broken.exists():
            raise CommandError("it does not start")
        self.hangs.unlink(missing_ok=True)
        self.puzzles.unlink(missing_ok=True)
        if self.process.pid is None:
            self.process.spawn(["sleep", "600"])

    def healthy(self) -> Health:
        self.asked += 1
        if self.puzzles.exists():
            raise ValueError("an answer nobody foresaw")
        return Health(healthy=not self.hangs.exists(), detail="it hangs")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Sleeper]:
    part = Sleeper(tmp_path)
    part.start()
    yield part
    part.stop()


@pytest.fixture
def record(tmp_path: Path) -> RestartLog:
    return RestartLog(tmp_path)


@contextmanager
def watched(
    part: Sleeper, record: RestartLog, restarting: Callable[[], None] | None = None, **options: Any
) -> Iterator[None]:
    stop = threading.Event()
    policy = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, most_in_a_row=3)
    watch = PartWatch(
        part, record, stop, policy=policy, ask_s=0.05, hangs_after_s=0.3, restarting=restarting, **options
    )
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def await_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_process_runs_again_within_a_second_and_its_restart_is_on_record(
    sleeper: Sleeper, record: RestartLog
) -> None:
    missed: list[int | None] = []
    with watched(sleeper, record, lambda: missed.append(sleeper.process.pid)):
        before = sleeper.process.pid
        psutil.Process(before).kill()
        killed = time.monotonic()
        assert await_true(lambda: sleeper.process.pid not in (None, before))
        assert time.monotonic() - killed < 1.0
    assert missed == [None]
    assert record.read()["sleeper"].count == 1
    assert record.read()["sleeper"].last_reason == "its process was gone"


def test_a_process_that_hangs_is_replaced(sleeper: Sleeper, record: RestartLog) -> None:
    before = sleeper.process.pid
    with watched(sleeper, record):
        sleeper.hangs.touch()
        assert await_true(lambda: sleeper.process.pid not in (None, before))
    assert record.read()["sleeper"].count == 1
    assert "it hangs" in record.read()["sleeper"].last_reason


def test_a_part_whose_health_cannot_be_told_is_watched_on_and_replaced(sleeper: Sleeper, record: RestartLog) -> None:
    before = sleeper.process.pid
    with watched(sleeper, record):
        sleeper.puzzles.touch()
        assert await_true(lambda: sleeper.process.pid not in (None, before))
        second = sleeper.process.pid
        sleeper.puzzles.touch()
        asked = sleeper.asked
        assert await_true(lambda: sleeper.asked > asked)
        psutil.Process(second).kill()
        assert await_true(lambda: sleeper.process.pid not in (None, second))
    assert record.read()["sleeper"].count == 2


def test_a_part_that_does_its_work_is_left_alone(sleeper: Sleeper, record: RestartLog) -> None:
    before = sleeper.process.pid
    asked = sleeper.asked
    with watched(sleeper, record):
        assert await_true(lambda: sleeper.asked > asked + 5)
    assert sleeper.process.pid == before
    assert record.read() == {}


def test_a_part_that_does_not_start_is_given_up_in_a_sentence_that_says_what_to_do(
    sleeper: Sleeper, record: RestartLog
) -> None:
    with watched(sleeper, record):
        sleeper.broken.touch()
        psutil.Process(sleeper.process.pid).kill()
        assert await_true(lambda: bool(record.read().get("sleeper") and record.read()["sleeper"].given_up))
    found = record.read()["sleeper"]
    assert found.count == 3
    assert "3 restarts in a row" in found.given_up
    assert str(sleeper.process.log_file) in found.given_up
    assert "tickcast up" in found.given_up


def test_what_a_process_started_in_the_background_outlives_it_and_its_other_children_do_not(tmp_path: Path) -> None:
    program = f"""
import pathlib, subprocess, time
from console.stack.process import DetachedProcess
DetachedProcess(pathlib.Path({str(tmp_path)!r}), "detached").spawn(["sleep", "600"])
child = subprocess.Popen(["sleep", "600"])
pathlib.Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
time.sleep(600)
"""
    parent, detached = (DetachedProcess(tmp_path, name) for name in ("parent", "detached"))
    parent.spawn([sys.executable, "-c", program])
    try:
        assert await_true(lambda: (tmp_path / "child").exists() and bool((tmp_path / "child").read_text()))
        child = int((tmp_path / "child").read_text())
        parent.stop()
        assert not runs(child)
        assert detached.pid is not None
    finally:
        parent.stop()
        detached.stop()


def test_a_part_is_not_blamed_for_what_it_depends_on(sleeper: Sleeper, record: RestartLog, tmp_path: Path) -> None:
    server = Sleeper(tmp_path / "server")
    server.start()
    try:
        before = sleeper.process.pid
        with watched(sleeper, record, depends_on=server):
            sleeper.hangs.touch()
            server.hangs.touch()
            asked = sleeper.asked
            assert await_true(lambda: sleeper.asked > asked + 20)
            assert sleeper.process.pid == before
            server.hangs.unlink()
            assert await_true(lambda: sleeper.process.pid not in (None, before))
    finally:
        server.stop()


def test_a_part_in_reserve_is_started_by_its_watch_and_that_is_no_restart(tmp_path: Path, record: RestartLog) -> None:
    part = Sleeper(tmp_path)
    try:
        with watched(part, record, begin=True):
            assert await_true(lambda: part.process.pid is not None)
        assert record.read() == {}
    finally:
        part.stop()


class Keeper:
    """The keeper of a job that is to run."""

    has_a_job = True

    def jobmanager_lost(self) -> None:
        pass


@pytest.fixture
def taskmanagers(tmp_path: Path) -> Iterator[tuple[TaskManagers, dict[str, DetachedProcess]]]:
    """Two TaskManagers with two slots each, a job with two subtasks, and no JobManager to ask for it."""
    settings = Settings(
        stack=StackSettings(home=tmp_path, task_slots=2),
        flink=FlinkSettings(rest_address=f"http://127.0.0.1:{free_port()}"),
    )
    parts = [TaskManager(settings, name) for name in TASKMANAGERS]
    processes = {part.name: process for part in parts for process in part.processes()}
    for process in processes.values():
        DetachedProcess(tmp_path, process.name).spawn(["sleep", "600"])
    JobRecord(tmp_path).submitted("0" * 32, "", 2, checkpoints="", savepoints="")
    yield TaskManagers(settings, parts, Keeper()), processes
    for process in processes.values():
        process.stop()


def test_a_taskmanager_that_died_waits_while_the_other_one_restores_the_job_but_not_for_ever(
    taskmanagers: tuple[TaskManagers, dict[str, DetachedProcess]], monkeypatch: pytest.MonkeyPatch
) -> None:
    them, processes = taskmanagers
    first = TASKMANAGERS[0]
    processes[first].stop()
    assert them.makes_way(first)
    monkeypatch.setattr(supervisor, "_MISSED_AFTER_S", 0.0)
    assert them.makes_way(first)
    monkeypatch.setattr(supervisor, "_MAKES_WAY_S", 0.0)
    assert not them.makes_way(first)


def test_a_taskmanager_that_died_starts_at_once_if_the_job_finds_no_room_without_it(
    taskmanagers: tuple[TaskManagers, dict[str, DetachedProcess]],
) -> None:
    them, processes = taskmanagers
    first, second = TASKMANAGERS
    processes[first].stop()
    processes[second].stop()
    assert not them.makes_way(first)
    assert not them.makes_way(second)


def test_without_a_job_nothing_waits(taskmanagers: tuple[TaskManagers, dict[str, DetachedProcess]]) -> None:
    them, processes = taskmanagers
    them._keeper.has_a_job = False
    processes[TASKMANAGERS[0]].stop()
    assert not them.makes_way(TASKMANAGERS[0])


def test_when_the_jobmanager_dies_the_taskmanager_with_the_job_is_the_only_one_left(
    taskmanagers: tuple[TaskManagers, dict[str, DetachedProcess]], monkeypatch: pytest.MonkeyPatch
) -> None:
    them, processes = taskmanagers
    first, second = TASKMANAGERS
    busy = processes[second].pid
    monkeypatch.setattr(supervisor, "python_workers", lambda pid: ["a worker"] if pid == busy else [])
    them.jobmanager_lost()
    assert processes[first].pid is None
    assert processes[second].pid == busy


def test_when_the_jobmanager_dies_and_no_taskmanager_has_the_job_all_stay(
    taskmanagers: tuple[TaskManagers, dict[str, DetachedProcess]],
) -> None:
    them, processes = taskmanagers
    them.jobmanager_lost()
    assert all(process.pid for process in processes.values())
