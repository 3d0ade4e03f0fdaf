"""Classes that a JVM keeps for the next one like it: the second start on a machine costs a fifth less.

Most of a start is the loading and checking of some ten thousand classes. A JVM can write those it has loaded to an
archive as it ends, and map them into its memory the next time (application class-data sharing, JEP 350). An archive
fits the very jars and the very Java that it was made with; where it does not fit, the JVM leaves it aside.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from console.stack.jars import caches
from console.stack.process import DetachedProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLASSPATH = ("-cp", "-classpath")
_SUFFIX = ".jsa"
_MOST = 15
"""Archives kept, each of some 20 to 100 MB: those used last."""
_UNFINISHED = b"\0\0\0\0"
"""The head of an archive is written last."""


class ClassData:
    """Archives of classes, shared by all stacks of this machine.

    Args:
        home: Folder of the stack: a JVM writes its archive there before it is kept.
        folder: Where they are kept; None: among the user's caches.
    """

    def __init__(self, home: Path, folder: Path | None = None) -> None:
        self._folder = folder or caches() / "classes"
        self._written = home / "run"

    def used_by(self, name: str, command: Sequence[str | Path]) -> list[str | Path]:
        """The same command, with the classes of an earlier JVM like it, or to be the one whose classes are kept.

        Args:
            name: Of the process; no two at the same time have the same.
            command: Path of java, options, classpath, main class, arguments.
        """
        archive = self._folder / f"{_digest(command)}{_SUFFIX}"
        if archive.exists():
            archive.touch()
            option = f"-XX:SharedArchiveFile={archive}"
        else:
            option = f"-XX:ArchiveClassesAtExit={self._written / f'{name}-{archive.name}'}"
        # What it cannot keep is nobody's matter.
        return [command[0], option, "-Xlog:cds=off", "-Xlog:cds+dynamic=off", *command[1:]]

    def keep(self, name: str, *, useful: bool) -> None:
        """Keep what a process of this name has written as it ended.

        Args:
            name: Of the process.
            useful: Whether it has done what it is there for; else it has not loaded half of what the next one needs.
        """
        for written in self._written.glob(f"{name}-*{_SUFFIX}"):
            if useful and _is_finished(written):
                self._keep(written, self._folder / written.name.removeprefix(f"{name}-"))
            written.unlink(missing_ok=True)

    def _keep(self, written: Path, archive: Path) -> None:
        if archive.exists() and archive.stat().st_size >= written.stat().st_size:
            return  # another one has loaded more
        beside = archive.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Half of an archive, after a crash of the machine or in the eyes of another stack, would end every start.
            with written.open("rb") as source, beside.open("wb") as target:
                shutil.copyfileobj(source, target)
                target.flush()
                os.fsync(target.fileno())
            beside.replace(archive)
        except OSError:  # no room for it: the next start will be as slow as this one
            with suppress(OSError):
                beside.unlink()
            return
        by_age = sorted(self._folder.glob(f"*{_SUFFIX}"), key=lambda kept: kept.stat().st_mtime)
        for outdated in by_age[:-_MOST]:
            outdated.unlink(missing_ok=True)


class JavaProcess(DetachedProcess):
    """A Java server as a detached process that leaves its classes to the next one."""

    def __init__(self, home: Path, name: str) -> None:
        super().__init__(home, name)
        self._class_data = ClassData(home)
        self._job = home / "job.json"

    def stop(self, timeout_s: float = 20) -> None:
        """Ask it to end, with its children; kill those that have not ended in time."""
        super().stop(timeout_s)
        self._class_data.keep(self.name, useful=self._job.exists())

    def _line(self, command: Sequence[str | Path]) -> Sequence[str | Path]:
        return self._class_data.used_by(self.name, command)


def _digest(command: Sequence[str | Path]) -> str:
    """What an archive depends on: the Java, the classpath with the state of its files, and the main class."""
    parts = [str(part) for part in command]
    after = next(number for number, part in enumerate(parts) if part in _CLASSPATH) + 1
    jars = parts[after].split(os.pathsep)
    states = [f"{jar} {_state(Path(jar))}" for jar in (parts[0], *jars)]
    return hashlib.sha256("\n".join([*states, parts[after + 1]]).encode()).hexdigest()[:16]


def _state(file: Path) -> str:
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _is_finished(archive: Path) -> bool:
    with archive.open("rb") as file:
        return file.read(len(_UNFINISHED)) not in (_UNFINISHED, b"")
