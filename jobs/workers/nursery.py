"""A process with everything loaded that a Python worker or the job's program needs; it forks them when asked.

Run as ``python -m jobs.workers.nursery DIRECTORY``; its socket is in that folder. It has one thread and never computes
anything itself, so a fork is a clean copy. It ends with SIGTERM, and its workers with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import random
import runpy
import selectors
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from jobs.workers.launch import WORKER
from jobs.workers.protocol import FORKED, REFUSED, Order, listen, receive_order, send_code
from jobs.workers.tuning import tune
from state.warm import warm_up

if TYPE_CHECKING:
    from collections.abc import Iterable

LOADED = (
    WORKER,
    "pyflink.fn_execution.beam.beam_sdk_worker_main",
    "pyflink.fn_execution.datastream.process.operations",
    "pyflink.fn_execution.table.operations",
    "pyarrow",
    "jobs.pipeline",
    "jobs.settings",
    "jobs.workers.compile",
)
"""What a worker imports before its first tick, and the job's program before it can be translated."""

_ORDER_S = 5.0
_CREDENTIALS = struct.Struct("iII")  # process, user, group

WORKER_NAME = "worker-{launcher}"
"""The kernel's name of a worker, by the process id of its launcher: it is not below that one in the tree."""


class _Worker(NamedTuple):
    pid: int
    descriptor: int
    connection: socket.socket


class Nursery:
    """Forks workers until it is told to end.

    Args:
        directory: Folder of its socket.
    """

    def __init__(self, directory: Path) -> None:
        # From now on launchers wait instead of loading everything themselves.
        self._listener = listen(directory)
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, _Worker] = {}
        self._sources: dict[str, tuple[int, int]] = {}
        self._pid = os.getpid()

    def load(self) -> None:
        """Imports what workers need."""
        # Its workers compute on one thread each, and a process of many threads can't be forked.
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
        for module in LOADED:
            importlib.import_module(module)
        tune()
        gc.collect()
        warm_up()
        self._sources = {file: stamp for file in _files() if (stamp := _stamp(file)) is not None}

    def serve(self) -> NoReturn:
        """Takes orders, and tells each launcher when its worker has ended; ends the worker of one that is gone."""
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        while True:
            for key, _ in self._selector.select():
                worker = key.data
                if worker is None:
                    connection, _ = self._listener.accept()
                    with contextlib.suppress(OSError):
                        self._take_order(connection)
                elif key.fileobj == worker.descriptor:
                    self._buried(worker)
                elif not _said(worker.connection):
                    self._selector.unregister(worker.connection)
                    signal.pidfd_send_signal(worker.descriptor, signal.SIGKILL)

    def _take_order(self, connection: socket.socket) -> None:
        connection.settimeout(_ORDER_S)
        if not _is_own(connection):
            connection.close()
            return
        order, streams = receive_order(connection)
        if self._is_stale():
            connection.sendall(REFUSED)
            connection.close()
            for stream in streams:
                os.close(stream)
            self._renew()
            return
        pid = os.fork()
        if pid == 0:
            self._close()
            _become(order, streams, connection)
        for stream in streams:
            os.close(stream)
        worker = _Worker(pid, os.pidfd_open(pid), connection)
        self._workers[pid] = worker
        self._selector.register(worker.descriptor, selectors.EVENT_READ, worker)
        self._selector.register(connection, selectors.EVENT_READ, worker)
        connection.sendall(FORKED)

    def _buried(self, worker: _Worker) -> None:
        _, status = os.waitpid(worker.pid, 0)
        del self._workers[worker.pid]
        self._selector.unregister(worker.descriptor)
        os.close(worker.descriptor)
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.connection)
        with contextlib.suppress(OSError):
            send_code(worker.connection, os.waitstatus_to_exitcode(status))
        worker.connection.close()
        if self._is_stale():
            self._renew()

    def _is_stale(self) -> bool:
        """Whether a file that was loaded has changed since: workers would run what is no longer there."""
        return any(_stamp(file) != stamp for file, stamp in self._sources.items())

    def _renew(self) -> None:
        """Starts anew once no worker is left that would end with it."""
        if not self._workers:
            os.execv(sys.executable, [sys.executable, "-m", "jobs.workers.nursery", *sys.argv[1:]])  # noqa: S606

    def _close(self) -> None:
        """Closes, in a worker, what is the nursery's."""
        self._selector.close()
        self._listener.close()
        for worker in self._workers.values():
            os.close(worker.descriptor)
            worker.connection.close()

    def end(self) -> NoReturn:
        """Ends, and all workers."""
        if os.getpid() != self._pid:  # a worker that has only just been forked
            os._exit(0)
        for worker in self._workers.values():
            signal.pidfd_send_signal(worker.descriptor, signal.SIGKILL)
        os._exit(0)


def _become(order: Order, streams: list[int], connection: socket.socket) -> NoReturn:
    """Runs the ordered program in this process, which has just been forked."""
    code = 1
    try:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        Path("/proc/self/comm").write_text(WORKER_NAME.format(launcher=order.launcher), encoding="ascii")
        os.environ.clear()
        os.environ.update(order.environment)
        os.chdir(order.directory)
        sys.path[0] = str(Path(order.script).parent) if order.script else order.directory
        _put_first(order.environment.get("PYTHONPATH", "").split(os.pathsep))
        random.seed()
        sys.argv = [order.script or order.module, *order.arguments]
        sys.modules.pop(order.module, None)
        if order.script:
            runpy.run_path(order.script, run_name="__main__")
        else:
            runpy.run_module(order.module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - there is nobody above to tell
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _put_first(folders: Iterable[str]) -> None:
    """Puts folders of a worker's own before all others that modules are looked for in."""
    sys.path[1:1] = [folder for folder in folders if folder and folder not in sys.path]


def _is_own(connection: socket.socket) -> bool:
    """Whether the other side runs as the same user."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(peer)[1] == os.getuid())


def _said(connection: socket.socket) -> bytes:
    """What a launcher sends after its order: nothing, when it has ended."""
    try:
        return connection.recv(1)
    except OSError:
        return b""


def _files() -> list[str]:
    modules = list(sys.modules.values())
    return [file for module in modules if (file := getattr(module, "__file__", None))]


def _stamp(file: str) -> tuple[int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - of thousands of files, while a launcher waits
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def main() -> None:
    """Loads, then serves."""
    nursery = Nursery(Path(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: nursery.end())
    nursery.load()
    nursery.serve()


if __name__ == "__main__":
    main()
