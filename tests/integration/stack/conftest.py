"""`tickcast` as a process, against a stack of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT_S = 240


@dataclass
class StackOnTrial:
    """A stack that is handled through the command only."""

    environment: dict[str, str]
    home: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = Path(self.environment["TICKCAST_STACK__HOME"])

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``tickcast`` and do not wait."""
        return subprocess.Popen(
            [sys.executable, "-m", "console.main", *arguments],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of ``tickcast``."""
        process = self.popen(*arguments)
        try:
            output, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
        return process.returncode, output, errors

    def must(self, *arguments: str) -> str:
        """Standard output of ``tickcast``, which must succeed."""
        code, output, errors = self.run(*arguments)
        assert code == 0, errors
        return output

    def status(self) -> dict[str, Any]:
        """What ``tickcast status --json`` says."""
        _, output, errors = self.run("status", "--json")
        assert output, errors
        status: dict[str, Any] = json.loads(output.splitlines()[-1])
        return status

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {file.stem: int(file.read_text().split()[0]) for file in (self.home / "run").glob("*.pid")}

    def kill(self, name: str) -> None:
        """Kill a process as the kernel would, and wait until it is gone."""
        process = psutil.Process(self.pids()[name])
        process.kill()
        psutil.wait_procs([process], timeout=10)


@pytest.fixture
def new_stack(new_environment: Callable[[], dict[str, str]]) -> Iterator[Callable[..., StackOnTrial]]:
    """Makes a stack that is not started yet; whatever is left of it in the end is stopped and removed."""
    made: list[StackOnTrial] = []

    def make(**changes: str) -> StackOnTrial:
        made.append(StackOnTrial({**new_environment(), **changes}))
        return made[-1]

    yield make
    for stack in made:
        stack.run("down", "--purge")


@pytest.fixture(scope="module")
def stack(new_environment: Callable[[], dict[str, str]]) -> Iterator[StackOnTrial]:
    """A stack that is up, and in which what is killed stays dead."""
    on_trial = StackOnTrial(new_environment())
    try:
        on_trial.must("up", "--no-supervise")
        yield on_trial
    finally:
        on_trial.run("down", "--purge")
