"""Long-running verbs of ``tickcast`` itself, run in the background."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from console.stack.component import Component, Health
from console.stack.process import DetachedProcess

if TYPE_CHECKING:
    from pathlib import Path

_START_TIMEOUT_S = 60
_STARTED = b'"event": "started"'


class Service(Component):
    """One verb as a background process, such as ``tickcast view``.

    Args:
        home: The stack's folder, absolute.
        verb: What the process runs.
        address: Where its results are found, without any password.
    """

    def __init__(self, home: Path, verb: str, address: str) -> None:
        self.name = verb
        self.address = address
        self._home = home
        self._process = DetachedProcess(home, self.name)
        self._started_of: float | None = None

    def processes(self) -> list[DetachedProcess]:
        """The one process."""
        return [self._process]

    def start(self) -> None:
        """Start it, and wait until its log says that it has found its topics and its store."""
        if self._process.pid is None:
            self._process.spawn(
                [sys.executable, "-m", "console.main", self.name], {"TICKCAST_STACK__HOME": str(self._home)}
            )
        self._process.wait_until_healthy(self.healthy, _START_TIMEOUT_S)

    def healthy(self) -> Health:
        """Whether it runs and has found its topics and its store since it was started."""
        if self._process.pid is None:
            return Health(
                healthy=False, detail=f"not running; start it with `tickcast up`, its log is {self._process.log_file}"
            )
        if not self._has_started():
            return Health(healthy=False, detail="running, but it has not reached its topics and its store yet")
        return Health(healthy=True, detail="running")

    def _has_started(self) -> bool:
        """Whether its log says so; one that could not reach them ends, and is started again by the supervisor."""
        spawned = self._process.started
        if spawned is None:
            return False
        if self._started_of != spawned:
            with self._process.log_file.open("rb") as log:
                said = [line for line in log if _STARTED in line]
            if not said or datetime.fromisoformat(json.loads(said[-1])["timestamp"]).timestamp() < spawned:
                return False
            self._started_of = spawned
        return True


class SupervisorService(Service):
    """``tickcast supervise`` in the background, which is well also when nobody asked for it.

    Args:
        home: The stack's folder, absolute.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home, "supervise", str(home))

    def healthy(self) -> Health:
        """Whether it runs, if it is meant to."""
        if not self._process.pid_file.exists():
            return Health(healthy=True, detail="off: what dies stays dead; `tickcast up` switches it on")
        return super().healthy()
