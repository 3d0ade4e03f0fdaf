"""A server as a detached process: process id file, log file, bounded start and stop."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psutil

from console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from pwd import struct_passwd

    from console.stack.component import Health

_POLL_S = 0.1
_EXIT_POLL_S = 0.02
_LOG_LINES = 8
_KILL_S = 10.0
_MARK = "TICKCAST_STACK_PROCESS"
"""Variable in the environment of a process and its children that names its process id file."""
_SAME_START_S = 2.0
"""A process started within this time of the recorded one, under the same id, is the same."""
_ORPHANS_S = 2.0
"""Children that are still there this long after their parent are killed."""


class DetachedProcess:
    """A process that outlives the command that started it.

    Its id and start time stand in ``<home>/run/<name>.pid``; together they tell it from a later
    process that got the same id. Its output goes to ``<home>/logs/<name>.log``.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.name = name
        self.pid_file = home / "run" / f"{name}.pid"
        self.log_file = home / "logs" / f"{name}.log"

    @property
    def pid(self) -> int | None:
        """Process id, or None if the process does not run."""
        process = self._process()
        return None if process is None else process.pid

    @property
    def started(self) -> float | None:
        """When the process was started, by this machine's clock in seconds of the epoch; None if it does not run."""
        # The kernel's own start time is counted from boot and drifts from the clock.
        return None if self._process() is None else self.pid_file.stat().st_mtime

    def spawn(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        user: struct_passwd | None = None,
    ) -> None:
        """Start the process in a session of its own, so that Ctrl-C of the caller does not reach it.

        Args:
            command: Program and arguments.
            environment: Variables set on top of the caller's own.
            directory: Working directory; the caller's own if not given.
            user: User to run as, for a server that refuses root.
        """
        self.clear_leftovers()
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in self._line(command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**os.environ, **(environment or {}), _MARK: str(self.pid_file)},
                **identity(user),
                start_new_session=True,
            )
        started = psutil.Process(process.pid).create_time()
        # At one stroke: whoever reads half of it would take the process for dead.
        scratch = self.pid_file.with_suffix(".pid.new")
        scratch.write_text(f"{process.pid} {started}\n", encoding="ascii")
        scratch.replace(self.pid_file)

    def wait_until_healthy(self, healthy: Callable[[], Health], timeout_s: float) -> None:
        """Wait for the process to do its work.

        Raises:
            CommandError: It ended, or was not healthy in time.
        """
        deadline = time.monotonic() + timeout_s
        while not (health := healthy()).healthy:
            if self.pid is None:
                raise CommandError(f"{self.name} ended while starting{self.last_words()}")
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{self.name} was not healthy after {timeout_s:.0f} s ({health.detail}){self.last_words()}"
                )
            time.sleep(_POLL_S)

    def stop(self, timeout_s: float = 20) -> None:
        """Ask the process to end, with its children; kill those that have not ended in time."""
        process = self._process()
        if process is not None:
            children = self._children(process)
            _tell(process.terminate)
            _kill([*_still_there([process], timeout_s), *_still_there(children, _ORPHANS_S)])
        self.clear_leftovers()

    def clear_leftovers(self) -> None:
        """Kill what an earlier run left behind, such as the workers of a process that was killed.

        They are known by a mark in their environment, which children inherit.
        """
        if self.pid is None:
            _kill([process for process in psutil.process_iter() if _mark(process) == str(self.pid_file)])
            self.pid_file.unlink(missing_ok=True)

    def last_words(self) -> str:
        """End of a sentence: where the log is, and its last lines."""
        if not self.log_file.exists():
            return ""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return f"; see {self.log_file}, which ends with:\n" + "\n".join(f"  {line}" for line in lines)

    def _line(self, command: Sequence[str | Path]) -> Sequence[str | Path]:
        """What is started for a command."""
        return command

    def _process(self) -> psutil.Process | None:
        try:
            pid, started = self.pid_file.read_text(encoding="ascii").split()
            process = psutil.Process(int(pid))
            same = abs(process.create_time() - float(started)) < _SAME_START_S
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return process if same and runs(process) else None

    def _children(self, process: psutil.Process) -> list[psutil.Process]:
        """Its children and theirs, without those that are detached from it."""
        try:
            children = [child for child in process.children() if _mark(child) in (str(self.pid_file), None)]
        except psutil.NoSuchProcess:
            return []
        return [*children, *(below for child in children for below in self._children(child))]


def identity(user: struct_passwd | None) -> dict[str, Any]:
    """Arguments that make `subprocess` run a program as another user, with none of the caller's groups."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _mark(process: psutil.Process) -> str | None:
    """The process id file that a process belongs to, as far as it can be known."""
    try:
        return process.environ().get(_MARK)
    except psutil.Error:  # gone in the meantime, or another user's
        return None


def _still_there(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those of some processes that have not ended in time."""
    deadline = time.monotonic() + timeout_s
    while (there := [process for process in processes if runs(process)]) and time.monotonic() < deadline:
        time.sleep(_EXIT_POLL_S)
    return there


def runs(process: psutil.Process) -> bool:
    """Whether a process is there and has not ended, whether or not its parent has taken note."""
    try:
        # One that has ended may wait a while for its parent to take note; but as long as one of its
        # threads is still ending, it holds its ports and locks.
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        _tell(process.kill)
    _still_there(processes, _KILL_S)


def _tell(signal: Callable[[], None]) -> None:
    try:
        signal()
    except psutil.NoSuchProcess:
        return
