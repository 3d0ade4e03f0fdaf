"""What the machine must have, looked at before anything starts."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

import psutil

from console.errors import CommandError
from console.stack.jars import cache_folder, fetched
from console.stack.java import java_home

if TYPE_CHECKING:
    from pathlib import Path

_PYTHON = (3, 11)
_FREE_DISK_GIB = 2
_MEMORY_GIB = 6
"""The TaskManager's 2.5, the JobManager's 1, half for the broker, the rest for Python, Redis and PostgreSQL."""
_GIB = 1024**3


class Requirement(NamedTuple):
    """One thing the machine must have."""

    name: str
    met: bool
    detail: str
    """What there is; where it is not enough, one sentence with the remedy."""


def requirements(home: Path) -> list[Requirement]:
    """All requirements of the local stack, met or not."""
    return [_python(), _java(), _memory(), _disk(home), _folder(home), _jars()]


def _python() -> Requirement:
    version = ".".join(str(part) for part in sys.version_info[:3])
    met = sys.version_info[:2] == _PYTHON
    remedy = f"Python {_PYTHON[0]}.{_PYTHON[1]} is needed, this is {version}: install it and run `make setup` again"
    return Requirement("python", met, version if met else remedy)


def _java() -> Requirement:
    try:
        return Requirement("java", met=True, detail=str(java_home()))
    except CommandError as error:
        return Requirement("java", met=False, detail=str(error))


def _memory() -> Requirement:
    size = psutil.virtual_memory().total / _GIB
    met = size >= _MEMORY_GIB
    remedy = (
        f"{_MEMORY_GIB} GiB of memory are needed, this machine has {size:.1f}: use a larger one, or point the settings"
        " at servers elsewhere"
    )
    return Requirement("memory", met, f"{size:.1f} GiB" if met else remedy)


def _disk(home: Path) -> Requirement:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / _GIB
    met = free >= _FREE_DISK_GIB
    remedy = (
        f"{_FREE_DISK_GIB} GiB of free disk are needed below {home}, there are {free:.1f}: make room, or set"
        " TICKCAST_STACK__HOME to a folder on another disk"
    )
    return Requirement("disk", met, f"{free:.1f} GiB free" if met else remedy)


def _folder(home: Path) -> Requirement:
    met = " " not in f"{home}{sys.prefix}"
    remedy = (
        f"Flink's start scripts can't handle the space in {home if ' ' in str(home) else sys.prefix}: move the project,"
        " and set TICKCAST_STACK__HOME, to folders without one"
    )
    return Requirement("folder", met, str(home) if met else remedy)


def _jars() -> Requirement:
    detail = str(cache_folder()) if fetched() else f"will be fetched into {cache_folder()} by `tickcast up`"
    return Requirement("jars", met=True, detail=detail)
