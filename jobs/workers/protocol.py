"""What launcher and nursery say to each other, over a Unix socket that only their user can reach."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY_VARIABLE = "TICKCAST_STACK_NURSERY"
"""Variable in a TaskManager's environment that names the folder of the nursery's socket."""

SOCKET_NAME = "nursery.sock"

FORKED, REFUSED = b"+", b"-"

_LENGTH = struct.Struct("<I")
_CODE = struct.Struct("<i")
_STREAMS = (0, 1, 2)


class Order(NamedTuple):
    """A program that a launcher was asked to run.

    Attributes:
        module: Name of its module; empty for a script.
        script: Path of its script; empty for a module.
        arguments: What it is told.
        environment: The launcher's variables.
        directory: Its working directory.
        launcher: Its process id.
    """

    module: str
    script: str
    arguments: list[str]
    environment: dict[str, str]
    directory: str
    launcher: int


def connect(directory: str) -> socket.socket:
    """A connection to the nursery of a folder.

    Raises:
        OSError: None listens there.
    """
    # By the folder's descriptor: a socket's path must be shorter than a folder's may be.
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
    finally:
        os.close(folder)
    return connection


def listen(directory: Path) -> socket.socket:
    """The nursery's socket in a folder, in place of an earlier one."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        path = f"/proc/self/fd/{folder}/{SOCKET_NAME}"
        (directory / SOCKET_NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(64)
    finally:
        os.close(folder)
    return listener


def send_order(connection: socket.socket, order: Order) -> None:
    """Sends an order and this process's standard streams."""
    data = json.dumps(order).encode()
    socket.send_fds(connection, [_LENGTH.pack(len(data))], _STREAMS)
    connection.sendall(data)


def receive_order(connection: socket.socket) -> tuple[Order, list[int]]:
    """An order, and the descriptors of the streams that its program is to have.

    Raises:
        OSError: The launcher ended before it had said all.
    """
    head, streams, _, _ = socket.recv_fds(connection, _LENGTH.size, len(_STREAMS))
    try:
        if len(head) < _LENGTH.size or len(streams) < len(_STREAMS):
            raise ConnectionError("an order without its length or its streams")
        order = Order(*json.loads(_receive(connection, _LENGTH.unpack(head)[0])))
    except OSError:
        for stream in streams:
            os.close(stream)
        raise
    return order, streams


def send_code(connection: socket.socket, code: int) -> None:
    """Tells a launcher how its program has ended: an exit code, or minus the number of a signal."""
    connection.sendall(_CODE.pack(code))


def receive_code(connection: socket.socket) -> int:
    """Waits for the program's end.

    Raises:
        OSError: The nursery has ended, and the program with it.
    """
    code: int = _CODE.unpack(_receive(connection, _CODE.size))[0]
    return code


def _receive(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ConnectionError("the other side has ended")
        data += part
    return data
