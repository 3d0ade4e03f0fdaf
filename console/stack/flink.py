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


class FlinkCluster(Component):
    """A standalone cluster on loopback."""

    name = "flink"

    def __init__(self, settings: Settings) -> None:
        self.address = settings.flink.rest_address
        self._home = FlinkHome(settings)
        self._rest = FlinkRest(self.address)
        self._jobmanager = DetachedProcess(settings.home, "jobmanager")
        self._taskmanager = DetachedProcess(settings.home, "taskmanager")

    def processes(self) -> list[DetachedProcess]:
        """JobManager and TaskManager."""
        return [self._jobmanager, self._taskmanager]

    def ports(self) -> list[Port]:
        """The port of the REST interface and web UI; the others are any that are free."""
        rest = urlsplit(self.address)
        return [Port(str(rest.hostname), int(rest.port or 80), "TICKCAST_FLINK__REST_ADDRESS")]

    def start(self) -> None:
        """Start what does not run; a TaskManager that runs finds a restarted JobManager again."""
        if self._jobmanager.pid is None:
            self._prepare()
            self._spawn(self._jobmanager)
        if self._taskmanager.pid is None:
            self._spawn(self._taskmanager)
        self._jobmanager.wait_until_healthy(self._jobmanager_health, _START_TIMEOUT_S)
        self._taskmanager.wait_until_healthy(self.healthy, _START_TIMEOUT_S)

    def healthy(self) -> Health:
        """Whether the JobManager answers and has a TaskManager with slots."""
        jobmanager = self._jobmanager_health()
        if not jobmanager.healthy:
            return jobmanager
        started = self._taskmanager.started
        if started is None:
            return Health(healthy=False, detail="the TaskManager is not running; start it with `tickcast up`")
        # A TaskManager that was killed stays registered until the JobManager misses it.
        if not any(heartbeat > started for heartbeat in self._rest.last_heartbeats()):
            return Health(healthy=False, detail="the TaskManager is running, but has not registered yet")
        return cluster_health(self._rest)

    def _jobmanager_health(self) -> Health:
        if self._jobmanager.pid is None:
            return Health(healthy=False, detail="the JobManager is not running; start it with `tickcast up`")
        try:
            self._rest.overview()
        except CommandError as error:
            return Health(healthy=False, detail=str(error))
        return Health(healthy=True, detail="the JobManager answers")

    def _prepare(self) -> None:
        port = self._home.rpc_port()
        if port is None or not is_free("127.0.0.1", port):
            # A TaskManager that still runs would look for its JobManager at the old port for ever.
            self._taskmanager.stop()
            port = free_port()
        self._home.prepare_cluster(port)

    def _spawn(self, process: DetachedProcess) -> None:
        process.spawn([self._home.program(f"{process.name}.sh"), "start-foreground"], self._home.environment())


def cluster_health(rest: FlinkRest) -> Health:
    """What the JobManager says about its cluster, wherever it runs."""
    try:
        cluster = rest.overview()
    except CommandError as error:
        return Health(healthy=False, detail=str(error))
    managers, slots, free = cluster["taskmanagers"], cluster["slots-total"], cluster["slots-available"]
    detail = f"{managers} TaskManager{'s' if managers != 1 else ''}, {slots} slots, {free} free"
    return Health(healthy=slots > 0, detail=detail)
