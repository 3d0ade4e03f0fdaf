"""A server that someone else runs: never started or stopped, only asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.errors import CommandError
from console.stack.component import Component, Health

if TYPE_CHECKING:
    from collections.abc import Callable


class ExternalServer(Component):
    """What stands in the stack where the settings point to another machine.

    Args:
        name: Component it stands for.
        address: Where it is, without any password.
        check: Asks it whether it does its work.
    """

    def __init__(self, name: str, address: str, check: Callable[[], Health]) -> None:
        self.name = name
        self.address = address
        self._check = check

    def start(self) -> None:
        """See that it is there."""
        health = self.healthy()
        if not health.healthy:
            raise CommandError(
                f"{self.name} at {self.address} is not run by this stack and not healthy: {health.detail}"
            )

    def healthy(self) -> Health:
        """What it says about itself."""
        return self._check()
