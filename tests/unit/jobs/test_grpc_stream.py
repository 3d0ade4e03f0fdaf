"""A stream of gRPC whose other end speaks HTTP/2 in the test's own words."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from jobs.workers.grpc_stream import GrpcStream, StreamEndedError
from tests.unit.jobs.conftest import FIRST_WINDOW, MESSAGE, MORE, PING, PING_ANSWER, RESET, Server, message

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 30


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
def test_less_than_was_expected_is_enough_if_it_is_what_is_waited_for(
    server: Server, stream: GrpcStream, got: list[bytes]
) -> None:
    server.send(MESSAGE, message(b"short"))
    stream.wait(lambda: got, lambda: 5000)
    assert got == [b"short"]


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
