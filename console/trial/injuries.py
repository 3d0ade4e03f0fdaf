"""What is done to a running stack, kind by kind, and how it is known that it really hit."""

from __future__ import annotations

import resource
import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import psutil

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.job_record import JobRecord
from console.stack.flink import TASKMANAGERS
from console.stack.flink_home import FlinkHome
from console.stack.process import DetachedProcess, runs
from console.stack.python_workers import python_workers
from console.trial.stores import redis_newest, rows_newest

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.trial.watch import CommittedWatch
    from jobs.settings import Settings

_POLL_S = 0.05
_GONE_S = 10.0
_NOTICE_S = 60.0
"""Flink misses a silent TaskManager after its heartbeat's timeout; the bound is well above."""
_NETWORK_CUT_S = 12.0
_CHECKPOINT_S = 30.0
_HIT_S = 20.0
"""REST tells with a delay of some seconds what has been restored."""


class Miss(Exception):  # noqa: N818 - it is what happened, not an error of the program
    """An injury that did not do what it is meant to; the text says what was found instead."""


class Ground:
    """A stack's processes, its job and its stores, as injuries need them."""

    def __init__(self, settings: Settings, watch: CommittedWatch) -> None:
        self.settings = settings
        self.watch = watch
        self.rest = FlinkRest(settings.flink.rest_address)
        self._record = JobRecord(settings.home)

    def process(self, name: str) -> psutil.Process:
        """A process of the stack, by its name there.

        Raises:
            Miss: It does not run.
        """
        pid = DetachedProcess(self.settings.home, name).pid
        if pid is None:
            raise Miss(f"{name} did not run")
        return psutil.Process(pid)

    def taskmanager(self) -> str:
        """Name of the TaskManager that has the job, known by the Python workers below it.

        Raises:
            Miss: None has.
        """
        for name in TASKMANAGERS:
            if self.workers(name):
                return name
        raise Miss("no TaskManager had a Python worker")

    def workers(self, taskmanager: str) -> list[psutil.Process]:
        """The processes in which a TaskManager runs Python."""
        return python_workers(DetachedProcess(self.settings.home, taskmanager).pid)

    def restored(self) -> tuple[str, int]:
        """The job's id, and how often it has taken up a checkpoint under it."""
        job_id = self._record.job_id()
        return job_id, self.rest.checkpoints(job_id).restored

    def checkpoints(self) -> Path:
        """Folder of the running job's checkpoints."""
        directory = urlsplit(FlinkHome(self.settings).checkpoint_directory())
        return Path(unquote(directory.path)) / self._record.job_id()


class Injury(ABC):
    """One kind of injury.

    Args:
        ground: What it is done to.
    """

    kind: str
    restores = True
    """Whether the job takes up a checkpoint after it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._before = ("", 0)

    def inflict(self) -> float:
        """Do it; when it was over, in seconds of the epoch.

        Raises:
            Miss: There was nothing to do it to, or it had no effect.
        """
        self._before = self._ground.restored()
        return self._inflict()

    @abstractmethod
    def _inflict(self) -> float: ...

    def await_recovery(self, moment: float, timeout_s: float) -> float | None:
        """When the first result of a tick was there that was sent after a moment; None if none comes in time."""
        return self._ground.watch.await_younger(moment, timeout_s)

    def require_hit(self) -> str:
        """See that it really hit, after the recovery; what there is to say about it.

        Raises:
            Miss: It did not.
        """
        if not self.restores:
            return ""
        deadline = time.monotonic() + _HIT_S
        while time.monotonic() < deadline:
            job_id, restored = self._ground.restored()
            if restored > (self._before[1] if job_id == self._before[0] else 0):
                return f"restored checkpoint {self._ground.rest.checkpoints(job_id).restored_id}"
            time.sleep(_POLL_S)
        raise Miss("the job has not taken up a checkpoint")


class Kill(Injury):
    """SIGKILL to a process of the stack."""

    name = ""

    def _inflict(self) -> float:
        self._victim = self._choose()
        moment = time.time()
        _kill(self._victim)
        return moment

    def _choose(self) -> psutil.Process:
        return self._ground.process(self.name)

    def require_hit(self) -> str:
        """Another process stands in the place of the killed one, and the job was restored."""
        now = self._await_successor()
        return "; ".join(filter(None, (f"process {self._victim.pid} became {now}", super().require_hit())))

    def _await_successor(self) -> int:
        process = DetachedProcess(self._ground.settings.home, self.name)
        if _await(lambda: process.pid not in (None, self._victim.pid), _HIT_S) is None:
            raise Miss(f"{self.name} was process {self._victim.pid}, and is now {process.pid}")
        return int(process.pid or 0)


class KillTaskManager(Kill):
    """The process that runs the tasks, and with it the Python workers below it; one in reserve takes over."""

    kind = "taskmanager"

    def _choose(self) -> psutil.Process:
        self.name = self._ground.taskmanager()
        return self._ground.process(self.name)


class KillWorker(Kill):
    """One process in which Python functions run."""

    kind = "worker"

    def _choose(self) -> psutil.Process:
        return self._ground.workers(self._ground.taskmanager())[0]

    def require_hit(self) -> str:
        """Other workers are there, and the job was restored."""
        there = {worker.pid for worker in self._ground.workers(self._ground.taskmanager())}
        if self._victim.pid in there:
            raise Miss(f"worker {self._victim.pid} is still there")
        return f"worker {self._victim.pid} killed; {Injury.require_hit(self)}"


class KillJobManager(Kill):
    """The process that looks after the job."""

    kind = name = "jobmanager"


class KillBroker(Kill):
    """The Kafka broker; the job may wait for it, or fail and be restored."""

    kind, name, restores = "broker", "kafka", False


class KillRedis(Kill):
    """The view's store; recovered when it shows a prediction of a tick sent after the kill."""

    kind, name, restores = "redis", "redis", False

    def await_recovery(self, moment: float, timeout_s: float) -> float | None:
        """Looks into Redis."""
        return _await(lambda: redis_newest(self._ground.settings) > moment * 1000, timeout_s)


class KillPostgres(Kill):
    """The history's store; recovered when it holds a prediction of a tick sent after the kill."""

    kind, name, restores = "postgres", "postgres", False

    def await_recovery(self, moment: float, timeout_s: float) -> float | None:
        """Looks into PostgreSQL."""
        return _await(lambda: rows_newest(self._ground.settings) > moment * 1000, timeout_s)


class KillAtCommit(KillTaskManager):
    """The TaskManager, when all tasks have pre-committed and none has yet been told to commit.

    The JobManager writes a checkpoint's `_metadata` when every task has acknowledged it, which the sinks do after
    they have flushed their transactions; only then does it tell them to commit. The kill falls into that moment.
    """

    kind = "commit"

    def _inflict(self) -> float:
        victim, interval = self._choose(), self._ground.settings.flink.checkpoint_interval_ms
        folder, triggered = self._await_acknowledged()
        moment = time.time()
        self._victim = victim
        _kill(victim)
        # Committed predictions end where the checkpoint before began, if this one's were not committed.
        time.sleep(0.3)
        self._checkpoint = int(folder.name.rpartition("-")[2])
        self._unseen_ms = triggered * 1000 - self._ground.watch.newest.event_time
        self.between = self._unseen_ms > interval / 2
        return moment

    def _await_acknowledged(self) -> tuple[Path, float]:
        """The folder of a checkpoint whose metadata are just being written, and when it was triggered."""
        root = self._ground.checkpoints()
        deadline = time.monotonic() + _CHECKPOINT_S
        before = {path.name for path in root.glob("chk-*")}
        while time.monotonic() < deadline:
            for folder in root.glob("chk-*"):
                if folder.name in before:
                    continue
                triggered = time.time()
                while time.monotonic() < deadline:
                    if _holds_metadata(folder):
                        return folder, triggered
            time.sleep(0.001)
        raise Miss("no checkpoint was taken")

    def require_hit(self) -> str:
        """As for a killed TaskManager; says whether the kill fell between pre-commit and commit."""
        said = super().require_hit()
        where = "between pre-commit and commit" if self.between else "beside the commit"
        return f"{said}; checkpoint {self._checkpoint} killed {where} ({self._unseen_ms:.0f} ms unseen)"


class PauseTaskManager(Injury):
    """SIGSTOP to the TaskManager until Flink has given it up, then SIGCONT: it comes back and finds itself replaced."""

    kind = "pause"

    def _inflict(self) -> float:
        name = self._ground.taskmanager()
        victim = self._ground.process(name)
        victim.send_signal(signal.SIGSTOP)
        try:
            if _await(lambda: name not in self._ground.rest.last_heartbeats(), _NOTICE_S) is None:
                raise Miss(f"Flink did not miss the stopped TaskManager for {_NOTICE_S:.0f} s")
        finally:
            moment = time.time()
            victim.send_signal(signal.SIGCONT)
        return moment


class CutNetwork(Injury):
    """The network to the broker: nothing comes back from it for a while, though every connection stays open.

    SIGSTOP to the broker does that to all of its clients alike, without rights on the network and without a proxy
    in every other trial's way. A cut that breaks connections is what a killed broker looks like.
    """

    kind, restores = "network", False

    def _inflict(self) -> float:
        broker = self._ground.process("kafka")
        broker.send_signal(signal.SIGSTOP)
        try:
            time.sleep(1)
            before = self._ground.watch.newest
            time.sleep(_NETWORK_CUT_S - 1)
            if self._ground.watch.newest != before:
                raise Miss("results were committed while the broker was out of reach")
        finally:
            moment = time.time()
            broker.send_signal(signal.SIGCONT)
        return moment


class FillDisk(Injury):
    """No space for checkpoints: the kernel refuses every write of JobManager and TaskManager that makes a file grow.

    A limit on the size of their files (RLIMIT_FSIZE) does it to just these processes and needs no rights; for the
    one that writes, it is what a full disk is. It lasts until checkpoints have failed.
    """

    kind, restores = "disk", False

    def _inflict(self) -> float:
        victims = [self._ground.process(name) for name in ("jobmanager", self._ground.taskmanager())]
        job_id, _ = self._before
        failed = self._ground.rest.checkpoints(job_id).failed
        limits = [victim.rlimit(resource.RLIMIT_FSIZE) for victim in victims]
        try:
            for victim, (_, hard) in zip(victims, limits, strict=True):
                victim.rlimit(resource.RLIMIT_FSIZE, (0, hard))
            if _await(lambda: self._ground.rest.checkpoints(job_id).failed > failed, _CHECKPOINT_S) is None:
                raise Miss("checkpoints succeeded although no file could grow")
        finally:
            moment = time.time()
            for victim, limit in zip(victims, limits, strict=True):
                victim.rlimit(resource.RLIMIT_FSIZE, limit)
        return moment


def _kill(victim: psutil.Process) -> None:
    """Kill a process and wait for its end; its parent may take its time to hear of it."""
    victim.kill()
    if _await(lambda: not runs(victim), _GONE_S) is None:
        raise Miss(f"process {victim.pid} survived SIGKILL")


def _holds_metadata(folder: Path) -> bool:
    try:
        return any("_metadata" in path.name for path in folder.iterdir())
    except FileNotFoundError:
        return False


def _await(condition: Callable[[], bool], timeout_s: float) -> float | None:
    """When a condition was first seen to hold, in seconds of the epoch; None if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return time.time()
        except CommandError:
            pass
        time.sleep(_POLL_S)
    return None


INJURIES: dict[str, type[Injury]] = {
    injury.kind: injury
    for injury in (
        KillWorker,
        KillTaskManager,
        KillJobManager,
        KillBroker,
        KillRedis,
        KillPostgres,
        KillAtCommit,
        PauseTaskManager,
        CutNetwork,
        FillDisk,
    )
}
