"""A stream of gRPC that the computing threads write and read themselves.

gRPC's own client hands each message over to threads of its own, in each direction, and Beam adds as many: a bundle's
few milliseconds went into waking them. A stream is little more than messages with their lengths inside one request of
HTTP/2 (RFC 9113; gRPC's "gRPC over HTTP2"): here whoever has a message writes it to the socket, and of those that wait
for one, one reads for all.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECT_S = 60.0

_ATTEND_EVERY_S = 5.0
"""A server that has heard nothing for two hours, as at night, asks whether anybody is there; it waits 20 s for the
answer, and nobody reads while there is no bundle."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_STREAM = 1
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_ACK, _END_STREAM, _END_HEADERS, _PADDED = 1, 1, 4, 8
_ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 2, 4, 5

_FRAME = struct.Struct(">HBBBI")
"""Length (its upper 16 bits, then the rest), type, flags, stream."""
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")
_MESSAGE = struct.Struct(">BI")
"""Whether it is compressed, and its length."""

MESSAGE_HEAD_BYTES = _MESSAGE.size
"""What the shortest message has around it: one frame may hold many."""

_LOOK_AGAIN_S = 1.0
"""Who waits for many bytes takes what is there after so long, should fewer have come than were expected."""

_LARGEST_WINDOW = 2**31 - 1
_FIRST_WINDOW = 65_535
_READ_BYTES = 1 << 18


class StreamEndedError(RuntimeError):
    """The other end has ended the stream, or is silent for too long; nothing more will come."""


class GrpcStream:
    """One call of a method whose requests and responses are both streams, on a connection of its own.

    Args:
        url: Where the server listens, `host:port`.
        worker: Goes along as `worker_id`, by which the engine knows its workers.
        method: `package.Service/Method`.
        take: Called with each message that has come, one after the other, by whichever thread has read it.
        silence_s: Who has waited so long for the next bytes gets an error; None: there may be nothing to say for days.

    Raises:
        OSError: If nobody listens there.
    """

    def __init__(
        self, url: str, worker: str | None, method: str, take: Callable[[bytes], None], silence_s: float | None = None
    ) -> None:
        host, _, port = url.rpartition(":")
        self._take = take
        self._silence_s = silence_s
        self._method = method.rpartition(".")[2]
        self._socket = socket.create_connection((host, int(port)), timeout=_CONNECT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(silence_s)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        # Guards all that follows. Who reads does so without it: the others can write meanwhile.
        self._changed = threading.Condition(threading.Lock())
        self._is_read = False
        self._wakes_at = 1
        self._end: StreamEndedError | None = None
        # How much the server takes before it says that it takes more; and how much we have taken since we said so.
        self._connection_window = self._stream_window = self._first_window = _FIRST_WINDOW
        self._largest_frame = 16_384
        self._taken = 0
        self._frames, self._messages = bytearray(), bytearray()
        self._sending = threading.Lock()  # whole messages
        self._writing = threading.Lock()  # whole frames
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"/{method}",
            ":authority": url,
            "content-type": "application/grpc",
            "te": "trailers",
            "worker_id": worker or "",
        }
        settings = {_ENABLE_PUSH: 0, _INITIAL_WINDOW_SIZE: _LARGEST_WINDOW}
        self._write(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, b"".join(_SETTING.pack(*setting) for setting in settings.items()))
            + _frame(_WINDOW_UPDATE, 0, 0, _NUMBER.pack(_LARGEST_WINDOW - _FIRST_WINDOW))
            + _frame(_HEADERS, _END_HEADERS, _STREAM, b"".join(_header(*header) for header in headers.items()))
        )
        _attend_to(self)

    def send(self, *messages: bytes) -> None:
        """Sends messages, and waits while the server takes no more.

        Raises:
            StreamEndedError: If there is nobody to take them.
        """
        data = b"".join(part for message in messages for part in (_MESSAGE.pack(0, len(message)), message))
        with self._sending:
            at = 0
            while at < len(data):
                self.wait(self._has_room)
                with self._changed:
                    room = min(self._connection_window, self._stream_window, len(data) - at)
                    self._connection_window -= room
                    self._stream_window -= room
                    largest = self._largest_frame
                frames: list[bytes] = []
                for start in range(at, at + room, largest):
                    part = data[start : min(start + largest, at + room)]
                    frames += (_frame_head(_DATA, 0, _STREAM, len(part)), part)
                at += room
                self._write(b"".join(frames))

    def wait(self, is_there: Callable[[], object], expected: Callable[[], int] | None = None) -> None:
        """Waits until what has come is enough.

        Args:
            is_there: Says so; asked again after each part that came.
            expected: So many bytes of messages, with their heads, are still to come at least: the server sends a few at
                a time, and not for each few need this thread be woken.

        Raises:
            StreamEndedError: If the end comes before.
        """
        with self._changed:
            while not is_there():
                if self._end is not None:
                    raise self._end
                if self._is_read:
                    self._changed.wait()
                    continue
                self._wake_at(expected() - len(self._frames) - len(self._messages) if expected is not None else 1)
                self._is_read = True
                self._changed.release()
                try:
                    data = self._read()
                finally:
                    self._changed.acquire()
                    self._is_read = False
                try:
                    self._take_in(data)
                finally:
                    self._changed.notify_all()

    def look(self) -> None:
        """Takes in what is there, if nobody waits for it."""
        with self._changed:
            if self._is_read or self._end is not None:
                return
            self._wake_at(1)
            if self._readable.poll(0):
                self._take_in(self._read())
                self._changed.notify_all()

    def close(self) -> None:
        """Ends the call, and with it every wait."""
        with self._changed:
            self._end = self._end or StreamEndedError(f"{self._method} is closed")
        with contextlib.suppress(OSError, StreamEndedError):  # the server was faster
            self._write(_frame(_DATA, _END_STREAM, _STREAM, b""))
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _wake_at(self, count: int) -> None:
        """Has the kernel wake who reads when so many bytes are there."""
        count = max(1, count)
        if count != self._wakes_at:
            self._wakes_at = count
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def _has_room(self) -> bool:
        return self._end is None and min(self._connection_window, self._stream_window) > 0

    def _write(self, data: bytes) -> None:
        try:
            with self._writing:
                self._socket.sendall(data)
        except OSError as error:
            raise StreamEndedError(f"the connection of {self._method} is lost: {error}") from error

    def _read(self) -> bytes | StreamEndedError:
        if self._wakes_at > 1 and not self._readable.poll(_LOOK_AGAIN_S * 1000):
            self._wake_at(1)
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            return StreamEndedError(f"the engine has not answered {self._method} for {self._silence_s:.0f} s")
        except OSError as error:
            return StreamEndedError(f"the connection of {self._method} is lost: {error}")
        return data or StreamEndedError(f"the engine has closed the connection of {self._method}")

    def _take_in(self, data: bytes | StreamEndedError) -> None:
        if isinstance(data, StreamEndedError):
            self._end = self._end or data
            return
        frames, at = self._frames, 0
        frames += data
        while len(frames) - at >= _FRAME.size:
            upper, lower, kind, flags, stream = _FRAME.unpack_from(frames, at)
            end = at + _FRAME.size + (upper << 8 | lower)
            if end > len(frames):
                break
            body = bytes(frames[at + _FRAME.size : end])
            at = end
            if kind == _DATA:
                self._taken += len(body)
                self._messages += _without_padding(flags, body)
            self._obey(kind, flags, stream, body)
        del frames[:at]
        if self._taken > _LARGEST_WINDOW // 2:
            more = _NUMBER.pack(self._taken)
            self._write(_frame(_WINDOW_UPDATE, 0, 0, more) + _frame(_WINDOW_UPDATE, 0, _STREAM, more))
            self._taken = 0
        self._give_messages()

    def _give_messages(self) -> None:
        messages, at = self._messages, 0
        while len(messages) - at >= _MESSAGE.size:
            compressed, length = _MESSAGE.unpack_from(messages, at)
            end = at + _MESSAGE.size + length
            if end > len(messages):
                break
            if compressed:
                self._end = StreamEndedError(f"a message of {self._method} is compressed, which nobody asked for")
                return
            self._take(bytes(messages[at + _MESSAGE.size : end]))
            at = end
        del messages[:at]

    def _obey(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if kind == _WINDOW_UPDATE:
            (more,) = _NUMBER.unpack(body)
            if stream:
                self._stream_window += more
            else:
                self._connection_window += more
        elif kind == _PING and not flags & _ACK:
            self._write(_frame(_PING, _ACK, 0, body))
        elif kind == _SETTINGS and not flags & _ACK:
            self._set(dict(_SETTING.iter_unpack(body)))
            self._write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _RST_STREAM or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self._end = StreamEndedError(f"the engine has ended the stream of {self._method}")

    def _set(self, settings: dict[int, int]) -> None:
        window = settings.get(_INITIAL_WINDOW_SIZE, self._first_window)
        self._stream_window += window - self._first_window
        self._first_window = window
        self._largest_frame = settings.get(_MAX_FRAME_SIZE, self._largest_frame)


_streams: weakref.WeakSet[GrpcStream] = weakref.WeakSet()
_attendants: list[threading.Thread] = []


def _attend_to(stream: GrpcStream) -> None:
    _streams.add(stream)
    if not _attendants:
        _attendants.append(threading.Thread(target=_attend, name="attends to idle streams", daemon=True))
        _attendants[0].start()


def _attend() -> None:
    while True:
        time.sleep(_ATTEND_EVERY_S)
        for stream in list(_streams):
            with contextlib.suppress(StreamEndedError):  # who uses it next is told
                stream.look()


def number_bytes(number: int) -> bytes:
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
        return b"\x7f" + number_bytes(len(text) - 127) + text
    return bytes([len(text)]) + text
