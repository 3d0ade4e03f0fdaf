"""Servers in the engine's place, for the channels of a worker: one of gRPC, and one that speaks HTTP/2 word by word."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

_WAIT_S = 30
HEAD = 9
FIRST_WINDOW = 65_535
"""So much a server takes before it has said anything."""
MESSAGE, RESET, PING, PING_ANSWER, MORE = (0, 0), (3, 0), (6, 0), (6, 1), (8, 0)
"""Types of frames, and their flags."""

Serve = Callable[[Callable[[Any, Any], None], Any], str]


class Server:
    """Takes one connection, reads and writes its frames."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self) -> None:
        self._listener.settimeout(_WAIT_S)
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(_WAIT_S)
        self._received = self._connection.makefile("rb")
        assert self._received.read(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    def send(self, kind: tuple[int, int], body: bytes, stream: int = 1) -> None:
        self._connection.sendall(len(body).to_bytes(3) + bytes(kind) + stream.to_bytes(4) + body)

    def read(self, kind: tuple[int, int]) -> bytes:
        """The next frame of a kind; those before it are dropped."""
        while True:
            head = self._received.read(HEAD)
            assert len(head) == HEAD, "the connection is closed"
            body = self._received.read(int.from_bytes(head[:3]))
            if tuple(head[3:5]) == kind:
                return body

    def close(self) -> None:
        self._received.close()
        self._connection.close()
        self._listener.close()


def message(body: bytes) -> bytes:
    return b"\0" + len(body).to_bytes(4) + body


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers: takes Beam's function that adds a servicer, and the servicer; gives the address."""
    servers: list[grpc.Server] = []

    def start(add: Callable[[Any, Any], None], servicer: Any) -> str:
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(2), options=unlimited)
        servers.append(server)
        add(servicer, server)
        port = server.add_insecure_port("localhost:0")
        server.start()
        return f"localhost:{port}"

    yield start
    for server in servers:
        server.stop(None)
