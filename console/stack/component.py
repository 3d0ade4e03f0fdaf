"""What every part of the local stack has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from console.stack.process import DetachedProcess


class Health(NamedTuple):
    """Whether a component does its work, and what there is to say about it."""

    healthy: bool
    detail: str


class Port(NamedTuple):
    """A port on loopback that a component listens on, and the setting that moves it."""

    host: str
    number: int
    variable: str
    """Environment variable to set when the port is taken, such as ``TICKCAST_REDIS__URL``."""


class Component(ABC):
    """One server or service of the stack.

    ``start`` and ``stop`` can be called at any time and in any state, also after an interrupted run:
    ``start`` reuses what runs and replaces what hangs; ``stop`` of what does not run does nothing.
    """

    name: str
    """Name in ``tickcast status`` and of the log file, such as ``kafka``."""

    address: str
    """Where it is reached, without any password."""

    @abstractmethod
    def start(self) -> None:
        """Start it and return when it is healthy.

        Raises:
            CommandError: It was not healthy in time; the sentence ends with its last log lines.
        """

    @abstractmethod
    def healthy(self) -> Health:
        """Ask it, within a few seconds at most, whether it does its work."""

    def processes(self) -> list[DetachedProcess]:
        """Processes it consists of, in the order of their start; none if it runs elsewhere."""
        return []

    def ports(self) -> list[Port]:
        """Ports it will listen on, checked before anything starts; none if it runs elsewhere."""
        return []

    def parts(self) -> list[Component]:
        """Those of it that can be started on their own."""
        return [self]

    def standbys(self) -> list[Component]:
        """Those of it that a supervisor starts beside it, so that something is there when a part of it dies."""
        return []

    def stop(self) -> None:
        """End its processes, the last started first, killing those that do not go in time."""
        for process in reversed(self.processes()):
            process.stop()
