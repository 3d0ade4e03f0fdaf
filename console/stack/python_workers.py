"""The processes in which a TaskManager runs Python."""

from __future__ import annotations

import psutil

from jobs.workers.launch import WORKER
from jobs.workers.nursery import WORKER_NAME


def python_workers(taskmanager: int | None) -> list[psutil.Process]:
    """The Python workers of a TaskManager: those below it, or those that were forked for the launchers below it.

    Args:
        taskmanager: Its process id; None: it does not run.
    """
    try:
        below = [] if taskmanager is None else psutil.Process(taskmanager).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    asked = [process for process in below if WORKER in _command(process)]
    if not asked:
        return []
    forked = {_name(process): process for process in psutil.process_iter()}
    return [forked.get(WORKER_NAME.format(launcher=process.pid), process) for process in asked]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
