"""The Flink cluster of the `apache-flink` package: JobManager, TaskManager and, supervised, a second one in reserve."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.stack.class_data import JavaProcess
from console.stack.component import Component, Health, Port
from console.stack.flink_home import FlinkHome, worker_launcher
from console.stack.ports import free_port, is_free
from console.stack.process import DetachedProcess
from jobs.workers.protocol import SOCKET_NAME

if TYPE_CHECKING:
    from jobs.settings import Settings

TASKMANAGERS = ("taskmanager", "taskmanager-2")
"""The first is always there; the second in reserve, under supervision. Either may be the one that works."""

_START_TIMEOUT_S = 90


class JobManager(Component):
    """The process that takes jobs and looks after them."""

    name = "jobmanager"

    def __init__(self, settings: Settings) -> None:
        self.address = settings.flink.rest_address
        self._home = FlinkHome(settings)
        self._rest = FlinkRest(self.address)
        self._process = JavaProcess(settings.home, self.name)
        self._taskmanagers = [JavaProcess(settings.home, name) for name in TASKMANAGERS]

    def processes(self) -> list[DetachedProcess]:
        """The one process."""
        return [self._process]

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        self.launch()
        self._process.wait_until_healthy(self.healthy, _START_TIMEOUT_S)

    def launch(self) -> None:
        """Start it, unless it runs, without waiting."""
        if self._process.pid is None:
            self._configure()
            command = self._home.command("jobmanager.sh", "start-foreground").with_log(self._home.log_file(self.name))
            self._process.spawn(command.line, command.environment)

    def healthy(self) -> Health:
        """Whether it answers."""
        if self._process.pid is None:
            return Health(healthy=False, detail="the JobManager is not running; start it with `tickcast up`")
        try:
            self._rest.overview()
        except CommandError as error:
            return Health(healthy=False, detail=str(error))
        return Health(healthy=True, detail="the JobManager answers")

    def _configure(self) -> None:
        before = self._home.rpc_port()
        port = before if before is not None and is_free("127.0.0.1", before) else free_port()
        self._home.prepare_cluster(port)
        if port != before:
            # A TaskManager that still runs would look for its JobManager at the old port for ever.
            for taskmanager in self._taskmanagers:
                taskmanager.stop()


class TaskManager(Component):
    """A process that runs the job's tasks, and the Python workers below it.

    Args:
        settings: All settings.
        name: Its name; the cluster knows it by the same.
    """

    def __init__(self, settings: Settings, name: str = TASKMANAGERS[0]) -> None:
        self.name = name
        self.address = settings.flink.rest_address
        self._home = FlinkHome(settings)
        self._rest = FlinkRest(self.address)
        self._process = JavaProcess(settings.home, self.name)

    def processes(self) -> list[DetachedProcess]:
        """The one process; its workers end with it."""
        return [self._process]

    def start(self) -> None:
        """Start it, unless it runs, and wait until the JobManager has its slots."""
        self.launch()
        self._process.wait_until_healthy(self.healthy, _START_TIMEOUT_S)

    def launch(self) -> None:
        """Start it, unless it runs, without waiting; one that runs finds a restarted JobManager again."""
        if self._process.pid is None:
            command = self._home.command("taskmanager.sh", "start-foreground").with_log(self._home.log_file(self.name))
            command = command.configured("taskmanager.resource-id", self.name)
            self._process.spawn(command.line, command.environment)

    def healthy(self) -> Health:
        """Whether the JobManager knows of it."""
        started = self._process.started
        if started is None:
            return Health(healthy=False, detail="the TaskManager is not running; start it with `tickcast up`")
        try:
            heartbeat = self._rest.last_heartbeats().get(self.name, 0.0)
        except CommandError as error:
            return Health(healthy=False, detail=str(error))
        # One that was killed stays registered until the JobManager misses it.
        if heartbeat <= started:
            return Health(healthy=False, detail="the TaskManager is running, but has not registered yet")
        return Health(healthy=True, detail="the TaskManager is registered")


class Nursery(Component):
    """The process that the TaskManagers' Python workers are forked from; without it they start as slowly as ever."""

    name = "nursery"

    def __init__(self, settings: Settings) -> None:
        self._directory = FlinkHome(settings).nursery_directory()
        self.address = str(self._directory / SOCKET_NAME)
        self._process = DetachedProcess(settings.home, self.name)

    def processes(self) -> list[DetachedProcess]:
        """The one process; none on a machine that has no launcher for it."""
        return [self._process] if worker_launcher() is not None else []

    def start(self) -> None:
        """Start it, unless it runs; who orders a worker while it is loading waits."""
        if self._process.pid is None and self.processes():
            self._directory.mkdir(parents=True, exist_ok=True)
            self._process.spawn([sys.executable, "-m", "jobs.workers.nursery", self._directory])

    def healthy(self) -> Health:
        """Whether it runs."""
        if self._process.pid is None and self.processes():
            return Health(healthy=False, detail="the nursery of Python workers is not running")
        return Health(healthy=True, detail="Python workers are forked")


class FlinkCluster(Component):
    """A standalone cluster on loopback."""

    name = "flink"

    def __init__(self, settings: Settings) -> None:
        self.address = settings.flink.rest_address
        self._rest = FlinkRest(self.address)
        self._jobmanager = JobManager(settings)
        self._nursery = Nursery(settings)
        self._taskmanager, self._reserve = (TaskManager(settings, name) for name in TASKMANAGERS)

    def parts(self) -> list[Component]:
        """JobManager, TaskManager, and the nursery of its Python workers."""
        return [self._jobmanager, self._taskmanager, self._nursery]

    def standbys(self) -> list[Component]:
        """A second TaskManager: its slots take the tasks of one that died before that one is up again."""
        return [self._reserve]

    def processes(self) -> list[DetachedProcess]:
        """Theirs, and that of the reserve if there is one."""
        everyone = [process for part in (*self.parts(), self._reserve) for process in part.processes()]
        return [process for process in everyone if process.name != self._reserve.name or process.pid is not None]

    def ports(self) -> list[Port]:
        """The port of the REST interface and web UI; the others are any that are free."""
        rest = urlsplit(self.address)
        return [Port(str(rest.hostname), int(rest.port or 80), "TICKCAST_FLINK__REST_ADDRESS")]

    def start(self) -> None:
        """Start what does not run, all at once."""
        self._nursery.start()
        self._jobmanager.launch()
        self._taskmanager.launch()
        self._jobmanager.start()
        self._taskmanager.start()

    def stop(self) -> None:
        """End all of its processes at the same time, killing those that do not go in time."""
        processes = self.processes()
        with ThreadPoolExecutor(len(processes)) as pool:
            # Listed, so that what goes wrong in a thread is raised here.
            list(pool.map(lambda process: process.stop(), processes))

    def healthy(self) -> Health:
        """Whether the JobManager answers and has a TaskManager with slots."""
        for part in (self._jobmanager, self._taskmanager):
            health = part.healthy()
            if not health.healthy:
                return health
        return cluster_health(self._rest)


def cluster_health(rest: FlinkRest) -> Health:
    """What the JobManager says about its cluster, wherever it runs."""
    try:
        cluster = rest.overview()
    except CommandError as error:
        return Health(healthy=False, detail=str(error))
    managers, slots, free = cluster["taskmanagers"], cluster["slots-total"], cluster["slots-available"]
    detail = f"{managers} TaskManager{'s' if managers != 1 else ''}, {slots} slots, {free} free"
    return Health(healthy=slots > 0, detail=detail)
