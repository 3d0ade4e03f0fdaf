"""The way of a worker's state to Flink and back, in the thread that computes.

Beam sends each read and write of state through four threads and gRPC's own, one message at a time: at a bundle's end,
with a write for every symbol that it touched, the worker passes most of its time in handing over. A stream of gRPC is
little more than messages with their lengths inside one request of HTTP/2 (RFC 9113; gRPC's "gRPC over HTTP2"), so here
the computing thread writes all of a bundle's messages to the socket itself, then reads until all answers are there. No
message that is sent, and none of its answers, is other than Beam's (`beam_fn_api.proto`, service BeamFnState). Tried
with apache-beam 2.61, which PyFlink 2.2.1 comes with.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import sdk_worker
from apache_beam.runners.worker.statecache import StateCache
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ANSWER_S = 60.0
"""So long the engine may be silent before the bundle fails; the job then starts again from its last checkpoint."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_STREAM = 1
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS, _PADDED = 1, 1, 4, 8
_ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 2, 4, 5

_FRAME = struct.Struct(">HBBBI")
"""Length (its upper 16 bits, then the rest), type, flags, stream."""
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")
_MESSAGE = struct.Struct(">BI")
"""Whether it is compressed, and its length."""

_SMALLEST_ANSWER = 20
"""A frame's head, a message's head, a number of one digit, the mark of an empty answer: 9, 5, 3 and 3 bytes."""

_LARGEST_WINDOW = 2**31 - 1
_FIRST_WINDOW = 65_535
_READ_BYTES = 1 << 18


_ID, _INSTRUCTION, _STATE_KEY, _DATA_OF_APPEND = b"\x0a", b"\x12", b"\x1a", b"\x0a"
_APPEND, _CLEAR = b"\xca\x3e", b"\xd2\x3e\x00"
"""Marks of a request's fields (1, 2, 3, and 1 in 1001; 1001 and 1002, the latter empty), each of a length to follow."""


class StateWriteError(RuntimeError):
    """The engine did not take a state write; it restarts the job from its last checkpoint."""


class StateChannelError(RuntimeError):
    """The engine has closed the way of the state, or is silent; it restarts the job from its last checkpoint."""


class _Frames:
    """One request of HTTP/2 on a connection of its own.

    Args:
        address: Where the engine listens, host and port.
        headers: The request's, names in lower case.
    """

    def __init__(self, address: tuple[str, int], headers: dict[str, str]) -> None:
        self._socket = socket.create_connection(address, timeout=_ANSWER_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._largest_frame = 16_384
        # How much the engine takes before it says that it takes more; and how much we have taken since we said so.
        self._connection_window = self._stream_window = self._first_window = _FIRST_WINDOW
        self._taken = 0
        settings = {_ENABLE_PUSH: 0, _INITIAL_WINDOW_SIZE: _LARGEST_WINDOW}
        self._socket.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, b"".join(_SETTING.pack(*setting) for setting in settings.items()))
            + _frame(_WINDOW_UPDATE, 0, 0, _NUMBER.pack(_LARGEST_WINDOW - _FIRST_WINDOW))
            + _frame(_HEADERS, _END_HEADERS, _STREAM, b"".join(_header(*header) for header in headers.items()))
        )

    def send(self, data: bytes) -> bytes:
        """Sends a part of the request's body.

        Returns:
            What has come of the answer's body while the engine took no more.
        """
        answer, at = b"", 0
        while at < len(data):
            while (room := min(self._connection_window, self._stream_window)) <= 0:
                answer += self.receive()
            frames: list[bytes] = []
            for start in range(at, min(len(data), at + room), self._largest_frame):
                part = data[start : min(start + self._largest_frame, at + room)]
                frames += (_frame_head(_DATA, 0, _STREAM, len(part)), part)
            sent = min(len(data) - at, room)
            self._connection_window -= sent
            self._stream_window -= sent
            at += sent
            self._socket.sendall(b"".join(frames))
        return answer

    def receive(self, at_least: int = 1) -> bytes:
        """Waits for frames.

        Args:
            at_least: So many bytes are still to come; the engine sends them a few at a time, and not for each few need
                this thread be woken.

        Returns:
            The next part of the answer's body, which may be nothing.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, max(1, at_least - len(self._received)))
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            raise StateChannelError(f"the engine has not answered about state for {_ANSWER_S:.0f} s") from None
        if not data:
            raise StateChannelError("the engine has closed the connection for state")
        received = self._received
        received += data
        parts, at = [], 0
        while len(received) - at >= _FRAME.size:
            upper, lower, kind, flags, stream = _FRAME.unpack_from(received, at)
            end = at + _FRAME.size + (upper << 8 | lower)
            if end > len(received):
                break
            body = bytes(received[at + _FRAME.size : end])
            at = end
            if kind == _DATA:
                self._taken += len(body)
                parts.append(_without_padding(flags, body))
            self._take(kind, flags, stream, body)
        del received[:at]
        if self._taken > _LARGEST_WINDOW // 2:
            more = _NUMBER.pack(self._taken)
            self._socket.sendall(_frame(_WINDOW_UPDATE, 0, 0, more) + _frame(_WINDOW_UPDATE, 0, _STREAM, more))
            self._taken = 0
        return b"".join(parts)

    def close(self) -> None:
        """Ends the connection; the engine sees it at once."""
        self._socket.close()

    def _take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if kind == _WINDOW_UPDATE:
            (more,) = _NUMBER.unpack(body)
            if stream:
                self._stream_window += more
            else:
                self._connection_window += more
        elif kind == _PING and not flags & _ACK:
            self._socket.sendall(_frame(_PING, _ACK, 0, body))
        elif kind == _SETTINGS and not flags & _ACK:
            self._set(dict(_SETTING.iter_unpack(body)))
            self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind in (_RST_STREAM, _GOAWAY) or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            raise StateChannelError("the engine has ended the stream for state")

    def _set(self, settings: dict[int, int]) -> None:
        window = settings.get(_INITIAL_WINDOW_SIZE, self._first_window)
        self._stream_window += window - self._first_window
        self._first_window = window
        self._largest_frame = settings.get(_MAX_FRAME_SIZE, self._largest_frame)


class _Answer(sdk_worker._Future):  # type: ignore[type-arg]  # noqa: SLF001 - Beam asks for its own futures
    """An answer that is fetched when it is asked for."""

    def __init__(self, fetch: Callable[[], None]) -> None:
        self._fetch = fetch
        self.response: Any = None

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the channel has a bound of its own
        """Sends what has not been sent yet, and waits for its answers."""
        if self.response is None:
            self._fetch()
        return True

    def get(self, timeout: float | None = None) -> Any:
        """The engine's answer; its `error` tells what was refused."""
        self.wait(timeout)
        return self.response


class _Bundle(threading.local):
    """What one thread is at.

    Attributes:
        instruction: The engine's name of the bundle; None outside of one.
        head: The instruction's field of its requests.
        unsent: Messages that have not been sent yet, with their lengths.
        answers: Answers that have not come yet, by the number of their request; None for a write of :meth:`write`.
        refused: Why the engine did not take a write of :meth:`write`.
    """

    instruction: str | None = None
    head = b""

    def __init__(self) -> None:
        self.unsent: list[bytes] = []
        self.answers: dict[str, _Answer | None] = {}
        self.refused = ""


class StateChannel(sdk_worker.StateHandler):
    """Reads and writes the engine's state; what Beam's own handler does, and by its names.

    Writes are sent when one of their answers is asked for, when state is read, or as the bundle ends.

    Args:
        url: Where the engine listens, `host:port`.
        worker: The worker's name.
    """

    def __init__(self, url: str, worker: str | None) -> None:
        host, _, port = url.rpartition(":")
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": "/org.apache.beam.model.fn_execution.v1.BeamFnState/State",
            ":authority": url,
            "content-type": "application/grpc",
            "te": "trailers",
            "worker_id": worker or "",
        }
        self._frames = _Frames((host, int(port)), headers)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._bundle = _Bundle()
        self._broken: StateChannelError | None = None

    @contextlib.contextmanager
    def process_instruction_id(self, bundle_id: str) -> Iterator[None]:
        """State is read and written in the name of this bundle."""
        bundle = self._bundle
        if bundle.instruction is not None:
            raise RuntimeError(f"already bound to {bundle.instruction!r}")
        bundle.instruction = bundle_id
        bundle.head = _field(_INSTRUCTION, bundle_id.encode())
        try:
            yield
            if bundle.answers:
                self.settle()
        finally:
            bundle.instruction = None
            bundle.unsent, bundle.answers, bundle.refused = [], {}, ""

    def get_raw(self, state_key: Any, continuation_token: bytes | None = None) -> tuple[bytes, bytes | None]:
        """What a state holds, or the next part of it.

        Raises:
            RuntimeError: If the engine refuses.
        """
        get = beam_fn_api_pb2.StateGetRequest(continuation_token=continuation_token)
        response = self._request(beam_fn_api_pb2.StateRequest(state_key=state_key, get=get)).get()
        if response.error:
            raise RuntimeError(response.error)
        return response.get.data, response.get.continuation_token

    def append_raw(self, state_key: Any, data: bytes) -> _Answer:
        """Adds to what a state holds."""
        append = beam_fn_api_pb2.StateAppendRequest(data=data)
        return self._request(beam_fn_api_pb2.StateRequest(state_key=state_key, append=append))

    def clear(self, state_key: Any) -> _Answer:
        """Empties a state."""
        return self._request(
            beam_fn_api_pb2.StateRequest(state_key=state_key, clear=beam_fn_api_pb2.StateClearRequest())
        )

    @staticmethod
    def place_of(state_key: Any) -> bytes:
        """A state's key as a part of each request that writes to it."""
        return _field(_STATE_KEY, state_key.SerializeToString())

    def write(self, place: bytes, data: bytes, *, anew: bool) -> None:
        """Adds to what a state holds, without the objects that a request of Beam's is made of: a bundle has hundreds.

        Args:
            place: What :meth:`place_of` gave for it.
            data: What is added.
            anew: Whether the state is emptied before.
        """
        if anew:
            self._write(place, _CLEAR)
        if data:
            self._write(place, _field(_APPEND, _field(_DATA_OF_APPEND, data)))

    def _write(self, place: bytes, change: bytes) -> None:
        number = str(next(self._numbers))
        self._queue(number, b"".join((_field(_ID, number.encode()), self._bundle.head, place, change)), None)

    def settle(self) -> None:
        """Waits until everything that this bundle has written is taken.

        Raises:
            StateWriteError: If a write of :meth:`write` is refused.
            StateChannelError: If the engine does not answer.
        """
        self._exchange()
        if refused := self._bundle.refused:
            self._bundle.refused = ""
            raise StateWriteError(f"a state write was refused: {refused}")

    def done(self) -> None:
        """Ends the connection."""
        self._frames.close()

    def _request(self, request: Any) -> _Answer:
        request.id = str(next(self._numbers))
        request.instruction_id = self._bundle.instruction
        answer = _Answer(self._exchange)
        self._queue(request.id, request.SerializeToString(), answer)
        return answer

    def _queue(self, number: str, message: bytes, answer: _Answer | None) -> None:
        bundle = self._bundle
        bundle.unsent += (_MESSAGE.pack(0, len(message)), message)
        bundle.answers[number] = answer

    def _exchange(self) -> None:
        """Sends what this thread has not sent yet, and reads until all of its answers are there."""
        bundle = self._bundle
        sent, bundle.unsent = b"".join(bundle.unsent), []
        answers, bundle.answers = bundle.answers, {}
        with self._lock:
            if self._broken is not None:
                raise self._broken
            try:
                received = self._frames.send(sent)
                while answers:
                    received, refused = _take_answers(received, answers)
                    bundle.refused = bundle.refused or refused
                    if answers:
                        received += self._frames.receive(_SMALLEST_ANSWER * len(answers) - len(received))
            except OSError as error:
                self._broken = StateChannelError(f"the connection for state is lost: {error}")
                raise self._broken from error
            except StateChannelError as error:
                self._broken = error
                raise


def install() -> None:
    """Has this process speak about state through its own channel from now on."""
    sdk_worker.GrpcStateHandlerFactory.create_state_handler = _create_state_handler  # type: ignore[assignment, method-assign]


_beams_own = sdk_worker.GrpcStateHandlerFactory.create_state_handler


def _create_state_handler(self: Any, descriptor: Any) -> Any:
    if not descriptor or self._credentials is not None:
        return _beams_own(self, descriptor)
    with self._lock:
        handler = self._state_handler_cache.get(descriptor.url)
        if handler is None:
            channel = StateChannel(descriptor.url, WorkerIdInterceptor()._worker_id)  # noqa: SLF001
            # Nothing is kept for the next read: the functions here read a state once and hold what they have read.
            handler = sdk_worker.GlobalCachingStateHandler(StateCache(0), channel)
            self._state_handler_cache[descriptor.url] = handler
    return handler


def _take_answers(received: bytes, answers: dict[str, _Answer | None]) -> tuple[bytes, str]:
    """Gives each whole answer to who waits for it; the rest, and why a write that nobody waits for was refused."""
    at, refused = 0, ""
    while len(received) - at >= _MESSAGE.size:
        compressed, length = _MESSAGE.unpack_from(received, at)
        end = at + _MESSAGE.size + length
        if end > len(received):
            break
        if compressed:
            raise StateChannelError("the engine has compressed its answer about state, which it was not asked to")
        response = beam_fn_api_pb2.StateResponse.FromString(received[at + _MESSAGE.size : end])
        if (answer := answers.pop(response.id)) is not None:
            answer.response = response
        elif response.error:
            refused = response.error
        at = end
    return received[at:], refused


def _field(mark: bytes, body: bytes) -> bytes:
    """A field of a message of protobuf: its mark, its length, itself."""
    return mark + _number(len(body)) + body


def _number(number: int) -> bytes:
    """A number as protobuf and HPACK have it: seven bits a byte, the lowest first."""
    if number < 128:  # noqa: PLR2004 - seven bits
        return bytes((number,))
    more = b""
    while number >= 128:  # noqa: PLR2004
        more, number = more + bytes((number % 128 + 128,)), number // 128
    return more + bytes((number,))


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return _frame_head(kind, flags, stream, len(body)) + body


def _frame_head(kind: int, flags: int, stream: int, length: int) -> bytes:
    return _FRAME.pack(length >> 8, length & 0xFF, kind, flags, stream)


def _without_padding(flags: int, body: bytes) -> bytes:
    return body[1 : len(body) - body[0]] if flags & _PADDED else body


def _header(name: str, value: str) -> bytes:
    """A header that goes into no table (RFC 7541, 6.2.2), its texts as they are."""
    return b"\0" + b"".join(_text(text.encode("ascii")) for text in (name, value))


def _text(text: bytes) -> bytes:
    """A text without Huffman's code (RFC 7541, 5.2)."""
    if len(text) >= 127:  # noqa: PLR2004 - the prefix of seven bits, all set, begins a longer number
        return b"\x7f" + _number(len(text) - 127) + text
    return bytes([len(text)]) + text
