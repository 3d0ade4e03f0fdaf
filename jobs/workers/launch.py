"""``tickcast-python``: what Flink starts as Python.

A worker's own start takes some six seconds of computing, nearly all of it imports, and a job that is restored starts
several workers at once; the job's program takes three. So the nursery, which has imported everything, forks them.
Whatever else is asked of this program, and everything where no nursery answers, goes to the interpreter itself.
"""

from __future__ import annotations

import os
import signal
import sys

from jobs.workers.protocol import DIRECTORY_VARIABLE, FORKED, Order, connect, receive_code, send_order

WORKER = "pyflink.fn_execution.beam.beam_boot"
BOOT = "jobs.workers.boot"
JOB = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/main.py"  # noqa: PTH100, PTH120 - as below

_ANSWER_S = 60.0
"""A nursery that is only just loading answers when it is done; to wait is sooner than to load it all here as well."""


def main() -> None:
    """Runs what the interpreter would run with the same arguments, and ends as it would."""
    arguments = sys.argv[1:]
    directory = os.environ.get(DIRECTORY_VARIABLE)
    order = _order(arguments)
    if directory and order is not None:
        code = _in_nursery(directory, order)
        if code is not None:
            _end_as(code)
    if order is not None and order.module == WORKER:
        arguments = ["-m", BOOT, WORKER, *order.arguments]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - the very program that was asked for


def _order(arguments: list[str]) -> Order | None:
    """What the nursery is to run; None if that is not its business."""
    here = os.getcwd()  # noqa: PTH109 - to import pathlib would double this program's own start
    match arguments:
        case ["-m", module, *rest] if module == WORKER:
            return Order(module, "", rest, dict(os.environ), here, os.getpid())
        case ["-u", script, *rest] if script == JOB:
            return Order("", script, rest, dict(os.environ), here, os.getpid())
    return None


def _in_nursery(directory: str, order: Order) -> int | None:
    """How the program has ended that the nursery has forked; None if it has not."""
    try:
        with connect(directory) as connection:
            connection.settimeout(_ANSWER_S)
            send_order(connection, order)
            if connection.recv(1) != FORKED:
                return None
            connection.settimeout(None)
            try:
                return receive_code(connection)
            except OSError:
                return -signal.SIGKILL
    except OSError:
        return None


def _end_as(code: int) -> None:
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
