"""``tickcast supervise``: starts again what dies or hangs, as Kubernetes does elsewhere.

Flink's own recovery needs it: a task with a vectorized Python function that fails takes its
TaskManager's process with it (PyFlink 2.2 throws while it closes the Arrow stream), so that even a
killed Python worker leaves the cluster without slots until someone starts a TaskManager.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from console.errors import CommandError
from console.job import as_submitted, job_health
from console.job_record import JobRecord
from console.logs import configure_logging
from console.stack.component import Health
from console.stack.flink import JobManager, TaskManager
from console.stack.job_keeper import JobKeeper
from console.stack.python_workers import python_workers
from console.stack.restarts import RestartLog, RestartPolicy
from console.stack.stack import Stack
from console.topic_writer import stop_on_signals
from jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from console.stack.component import Component

_LOOK_S = 0.2
"""A process that is gone is missed within this time."""
_ASK_S = 5.0
"""How often a running part is asked whether it does its work; each question costs a little of it."""
_HANGS_AFTER_S = 30.0
"""A running part that has not done its work for this long is replaced; a busy machine's pauses are shorter."""
_MISSED_AFTER_S = 3.0
"""So long after a TaskManager's end the JobManager knows of it, and the job is no longer said to run."""
_MAKES_WAY_S = 30.0
"""A TaskManager is not kept from starting for longer."""
_END_S = 1.0
"""A part that hangs is killed if it has not ended by itself in this time."""


class PartWatch:
    """Watches one part of the stack and starts it again.

    Args:
        part: What is watched.
        record: Where restarts are recorded.
        stop: Ends the watch.
        policy: When the part is started again.
        ask_s: How often the part is asked whether it does its work.
        hangs_after_s: How long it may be without doing so.
        restarting: Called when the part is gone, before it is started again.
        depends_on: Another part; while that one does not do its work, this one can't show that it does.
        waits: Whether the part, though it is gone, is not to be started now.
        begin: Start the part when the watch begins, for nobody else has.
    """

    def __init__(
        self,
        part: Component,
        record: RestartLog,
        stop: threading.Event,
        *,
        policy: RestartPolicy | None = None,
        ask_s: float = _ASK_S,
        hangs_after_s: float = _HANGS_AFTER_S,
        restarting: Callable[[], None] | None = None,
        depends_on: Component | None = None,
        waits: Callable[[], bool] = lambda: False,
        begin: bool = False,
    ) -> None:
        self._part = part
        self._record = record
        self._stop = stop
        self._policy = policy or RestartPolicy()
        self._every_s = ask_s
        self._hangs_after_s = hangs_after_s
        self._restarting = restarting
        self._depends_on = depends_on
        self._waits = waits
        self._begin = begin
        self._log = structlog.get_logger("supervise").bind(part=part.name)
        self._ask_at = 0.0
        self._well_at = time.monotonic()

    def run(self) -> None:
        """Watch until stopped, or until restarts have not helped too often in a row."""
        if self._begin:
            self._start()
        while not self._stop.wait(_LOOK_S):
            reason = self._trouble()
            if reason is None or self._waits():
                continue
            delay_s = self._policy.next_delay()
            if delay_s is None:
                self._give_up(reason)
                return
            if not self._stop.wait(delay_s):
                self._restart(reason)

    def _trouble(self) -> str | None:
        """Why the part has to be started again, if it has."""
        if not self._runs():
            return "its process was gone"
        if time.monotonic() < self._ask_at:
            return None
        health = self._health_of(self._part)
        now = time.monotonic()
        self._ask_at = now + self._every_s
        if health.healthy:
            self._well_at = now
            self._policy.well(now)
        elif self._depends_on is not None and not self._health_of(self._depends_on).healthy:
            self._well_at = now
        elif now - self._well_at > self._hangs_after_s:
            return f"it did not do its work: {health.detail}"
        return None

    def _health_of(self, part: Component) -> Health:
        try:
            return part.healthy()
        except Exception as error:  # noqa: BLE001 - a question that fails in an unforeseen way must not end the watch
            self._log.exception("the question failed", asked=part.name)
            return Health(healthy=False, detail=repr(error))

    def _restart(self, reason: str) -> None:
        self._log.warning("restarting", reason=reason)
        self._record.restarted(self._part.name, reason)
        if self._runs():
            for process in self._part.processes():
                process.stop(_END_S)
        if self._restarting is not None:
            self._restarting()
        self._start()

    def _start(self) -> None:
        began = time.monotonic()
        try:
            self._part.start()
        except (CommandError, OSError) as error:
            self._log.error("the start failed", reason=str(error))
        except Exception:  # noqa: BLE001 - nor must a start
            self._log.exception("the start failed")
        else:
            self._log.info("started", seconds=round(time.monotonic() - began, 1))
        self._ask_at, self._well_at = 0.0, time.monotonic()

    def _runs(self) -> bool:
        return all(process.pid is not None for process in self._part.processes())

    def _give_up(self, reason: str) -> None:
        sentence = (
            f"given up after {self._policy.most_in_a_row} restarts in a row ({reason}): see"
            f" {self._part.processes()[0].log_file}, mend the cause and call `tickcast up`"
        )
        self._log.error(sentence)
        self._record.gave_up(self._part.name, sentence)


class TaskManagers:
    """Leaves the machine to the TaskManager that gets the job when another one or the JobManager has died.

    The start of a JVM takes seconds of computing, those in which the job is restored. And a JVM that has run the job
    opens it in half the time: a new JobManager would give it the slots that are offered first, which are as often
    those of the one in reserve.

    Args:
        settings: All settings.
        parts: The TaskManagers.
        keeper: Takes the job up again when the JobManager was lost.
    """

    def __init__(self, settings: Settings, parts: Sequence[TaskManager], keeper: JobKeeper) -> None:
        self._settings = settings
        self._processes = {part.name: process for part in parts for process in part.processes()}
        self._keeper = keeper
        self._gone_at: dict[str, float] = {}

    def jobmanager_lost(self) -> None:
        """Say that the JobManager is gone, and all it knew, and is about to be started again."""
        self._keeper.jobmanager_lost()
        idle = [process for process in self._processes.values() if not python_workers(process.pid)]
        if self._keeper.has_a_job and len(idle) < len(self._processes):
            for process in idle:
                process.stop(timeout_s=0)

    def makes_way(self, name: str) -> bool:
        """Whether one that is gone is to be started later, when the job runs on those that are there."""
        if not self._keeper.has_a_job or not self._suffices([other for other in self._processes if other != name]):
            return False
        gone_s = time.monotonic() - self._gone_at.setdefault(name, time.monotonic())
        waits = gone_s < _MISSED_AFTER_S or (gone_s < _MAKES_WAY_S and not self._job_runs())
        if not waits:
            del self._gone_at[name]
        return waits

    def _suffices(self, names: Sequence[str]) -> bool:
        running = sum(self._processes[name].pid is not None for name in names)
        wanted = as_submitted(self._settings, JobRecord(self._settings.home)).flink.parallelism
        return running * self._settings.stack.task_slots >= wanted

    def _job_runs(self) -> bool:
        try:
            return job_health(self._settings).healthy
        except CommandError:
            return False


class Supervisor:
    """Watches all parts of a stack, and the job.

    Args:
        settings: All settings.
        components: The stack, of which servers that run elsewhere are left alone.
        stop: Ends the watch.
    """

    def __init__(self, settings: Settings, components: Sequence[Component], stop: threading.Event) -> None:
        record = RestartLog(settings.home)
        record.clear()
        keeper = JobKeeper(settings, record, stop)
        standbys = {part.name: part for component in components for part in component.standbys()}
        parts = {part.name: part for component in components for part in component.parts() if part.processes()}
        parts |= standbys
        taskmanagers = TaskManagers(
            settings, [part for part in parts.values() if isinstance(part, TaskManager)], keeper
        )
        self._watches = [
            PartWatch(
                part,
                record,
                stop,
                restarting=taskmanagers.jobmanager_lost if part.name == JobManager.name else None,
                depends_on=parts.get(JobManager.name) if isinstance(part, TaskManager) else None,
                waits=partial(taskmanagers.makes_way, part.name) if isinstance(part, TaskManager) else lambda: False,
                begin=part.name in standbys,
            )
            for part in parts.values()
        ]
        self._keeper = keeper

    def run(self) -> None:
        """Watch until stopped."""
        loops = [self._keeper.run, *(watch.run for watch in self._watches)]
        threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
        for thread in threads:
            thread.start()
        structlog.get_logger("supervise").info("started")
        for thread in threads:
            thread.join()


def supervise() -> None:
    """Start again what dies or hangs of the stack, until stopped; `tickcast up` runs this in the background."""
    configure_logging()
    stop = stop_on_signals()
    settings = Settings()
    supervisor = Supervisor(settings, Stack(settings).components, stop)
    threading.Thread(target=supervisor.run, daemon=True).start()
    stop.wait()
