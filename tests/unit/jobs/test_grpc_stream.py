"""A stream of gRPC whose other end speaks HTTP/2 in the test's own words."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from jobs.workers.grpc_stream import GrpcStream, StreamEndedError

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 30
HEAD = 9
FIRST_WINDOW = 65_535
"""So much a server takes before it has said anything."""
MESSAGE, RESET, PING, PING_ANSWER, MORE = (0, 0), (3, 0), (6, 0), (6, 1), (8, 0)
"""Types of frames, and their flags."""


class Server:
    """Takes one connection, reads and writes its frames."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self) -> None:
        self._listener.settimeout(WAIT_S)
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(WAIT_S)
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
def got() -> list[bytes]:
    return []


@pytest.fixture
def stream(server: Server, got: list[bytes]) -> Iterator[GrpcStream]:
    stream = GrpcStream(server.url, "worker-1", "package.Service/Method", got.append)
    server.accept()
    yield stream
    stream.close()


def test_a_server_that_asks_after_a_long_silence_whether_anybody_is_there_is_answered(
    server: Server, stream: GrpcStream
) -> None:
    assert stream
    server.send(PING, b"anybody?", stream=0)
    assert server.read(PING_ANSWER) == b"anybody?"


def test_messages_that_come_in_pieces_are_put_together(server: Server, stream: GrpcStream, got: list[bytes]) -> None:
    data = message(b"one") + message(b"") + message(b"three" * 1000)
    for start in range(0, len(data), 7):
        server.send(MESSAGE, data[start : start + 7])
    stream.wait(lambda: len(got) == 3)
    assert got == [b"one", b"", b"three" * 1000]


def test_a_wait_ends_when_another_thread_closes_the_stream(stream: GrpcStream) -> None:
    closer = threading.Timer(0.1, stream.close)
    closer.start()
    with pytest.raises(StreamEndedError):
        stream.wait(lambda: False)
    closer.join(WAIT_S)


def test_a_server_that_has_gone_away_is_told_to_who_waits_and_to_who_sends_next(
    server: Server, stream: GrpcStream
) -> None:
    server.close()
    with pytest.raises(StreamEndedError, match="Service/Method"):
        stream.wait(lambda: False)
    with pytest.raises(StreamEndedError, match="Service/Method"):
        stream.send(b"1")


@pytest.mark.timeout(WAIT_S)
def test_a_sender_wakes_for_a_servers_word_that_it_takes_more_though_a_long_answer_was_awaited_before(
    server: Server, stream: GrpcStream, got: list[bytes]
) -> None:
    server.send(MESSAGE, message(bytes(5000)))
    stream.wait(lambda: got, lambda: 5000)
    sender = threading.Thread(target=stream.send, args=(bytes(100_000),), daemon=True)
    sender.start()
    received = 0
    while received < FIRST_WINDOW:
        received += len(server.read(MESSAGE))
    for number in (0, 1):
        server.send(MORE, (100_000).to_bytes(4), stream=number)
    while received < len(message(bytes(100_000))):
        received += len(server.read(MESSAGE))
    sender.join(WAIT_S)
    assert not sender.is_alive()


def test_who_waits_for_a_server_to_take_more_is_told_that_the_stream_has_ended(
    server: Server, stream: GrpcStream
) -> None:
    ended = threading.Timer(0.2, server.send, (RESET, (8).to_bytes(4)))
    ended.start()
    with pytest.raises(StreamEndedError, match="has ended the stream of Service/Method"):
        stream.send(bytes(100_000))
    ended.join(WAIT_S)
