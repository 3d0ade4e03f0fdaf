"""The Flink cluster: one JobManager and one TaskManager out of the ``apache-flink`` package."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.stack.component import Component, Health, Port
from console.stack.flink_home import FlinkHome
from console.stack.ports import free_port, is_free
from console.stack.process import DetachedProcess

if TYPE_CHECKING:
    from jobs.settings import Settings

_START_TIMEOUT_S = 90


class JobManager(Component):
    """The process that takes jobs and looks after them."""

    name = "jobmanager"

    def __init__(self, settings: Settings) -> None:
        self.address = settings.flink.rest_address
        self._home = FlinkHome(settings)
        self._rest = FlinkRest(self.address)
        self._process = DetachedProcess(settings.home, self.name)
        self._taskmanager = DetachedProcess(settings.home, TaskManager.name)

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
            _spawn(self._home, self._process)

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
            self._taskmanager.stop()


class TaskManager(Component):
    """The process that runs the job's tasks, and the Python workers below it."""

    name = "taskmanager"

    def __init__(self, settings: Settings) -> None:
        self.address = settings.flink.rest_address
        self._home = FlinkHome(settings)
        self._rest = FlinkRest(self.address)
        self._process = DetachedProcess(settings.home, self.name)

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
            _spawn(self._home, self._process)

    def healthy(self) -> Health:
        """Whether the JobManager knows of it."""
        started = self._process.started
        if started is None:
            return Health(healthy=False, detail="the TaskManager is not running; start it with `tickcast up`")
        try:
            heartbeats = self._rest.last_heartbeats()
        except CommandError as error:
            return Health(healthy=False, detail=str(error))
        # One that was killed stays registered until the JobManager misses it.
        if not any(heartbeat > started for heartbeat in heartbeats):
            return Health(healthy=False, detail="the TaskManager is running, but has not registered yet")
        return Health(healthy=True, detail="the TaskManager is registered")


class FlinkCluster(Component):
    """A standalone cluster on loopback."""

    name = "flink"

    def __init__(self, settings: Settings) -> None:
        self.address = settings.flink.rest_address
        self._rest = FlinkRest(self.address)
        self._jobmanager = JobManager(settings)
        self._taskmanager = TaskManager(settings)

    def parts(self) -> list[Component]:
        """JobManager and TaskManager."""
        return [self._jobmanager, self._taskmanager]

    def processes(self) -> list[DetachedProcess]:
        """Theirs."""
        return [process for part in self.parts() for process in part.processes()]

    def ports(self) -> list[Port]:
        """The port of the REST interface and web UI; the others are any that are free."""
        rest = urlsplit(self.address)
        return [Port(str(rest.hostname), int(rest.port or 80), "TICKCAST_FLINK__REST_ADDRESS")]

    def start(self) -> None:
        """Start what does not run, both at once."""
        self._jobmanager.launch()
        self._taskmanager.launch()
        self._jobmanager.start()
        self._taskmanager.start()

    def healthy(self) -> Health:
        """Whether the JobManager answers and has a TaskManager with slots."""
        for part in self.parts():
            health = part.healthy()
            if not health.healthy:
                return health
        return cluster_health(self._rest)


def _spawn(home: FlinkHome, process: DetachedProcess) -> None:
    process.spawn([home.program(f"{process.name}.sh"), "start-foreground"], home.environment())


def cluster_health(rest: FlinkRest) -> Health:
    """What the JobManager says about its cluster, wherever it runs."""
    try:
        cluster = rest.overview()
    except CommandError as error:
        return Health(healthy=False, detail=str(error))
    managers, slots, free = cluster["taskmanagers"], cluster["slots-total"], cluster["slots-available"]
    detail = f"{managers} TaskManager{'s' if managers != 1 else ''}, {slots} slots, {free} free"
    return Health(healthy=slots > 0, detail=detail)
