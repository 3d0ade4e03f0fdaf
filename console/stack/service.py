"""Long-running verbs of ``tickcast`` itself, run in the background."""

from __future__ import annotations

import sys
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

    def processes(self) -> list[DetachedProcess]:
        """The one process."""
        return [self._process]

    def start(self) -> None:
        """Start it, and wait until its log says that it has found its topics and its store."""
        if self._process.pid is not None:
            return
        log = self._process.log_file
        before = log.stat().st_size if log.exists() else 0
        self._process.spawn(
            [sys.executable, "-m", "console.main", self.name], {"TICKCAST_STACK__HOME": str(self._home)}
        )
        self._process.wait_until_healthy(lambda: self._started(before), _START_TIMEOUT_S)

    def healthy(self) -> Health:
        """Whether it runs."""
        if self._process.pid is None:
            return Health(
                healthy=False, detail=f"not running; start it with `tickcast up`, its log is {self._process.log_file}"
            )
        return Health(healthy=True, detail="running")

    def _started(self, log_offset: int) -> Health:
        written = self._process.log_file.read_bytes()[log_offset:]
        return Health(healthy=_STARTED in written, detail="it has not reached its topics and its store")


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
