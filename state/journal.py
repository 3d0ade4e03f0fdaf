"""A symbol's memory as it stands in Flink's ListStates, and how it comes back from there.

One list holds a snapshot of the state, the requests that wait for their outcome, and what has happened since: each
tick appends one entry instead of writing the whole window again. Now and then it is folded into a new snapshot. The
other list holds the session's trade keys.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Protocol

import orjson

from state import codec
from state.outcomes import SETTLE_EVERY_MS
from state.requests import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from state.symbol_state import SymbolState

FOLD_BYTES = 16_384
"""The journal is folded into a new snapshot when it holds so much, and more than the snapshot before it: whatever a
symbol's memory holds, writing it anew costs each tick no more than twice the tick's own entry."""

_ENTRY = struct.Struct("<BBH")  # form, kind, length of the state's entry; what follows it are requests
_FORM = 2
_STATE, _REQUESTS, _GIVEN_UP, _SNAPSHOT, _LIFE, _SKIPPED = 1, 2, 3, 4, 5, 6
_POSITION = struct.Struct("<iq")
_LENGTH = struct.Struct("<I")
_LIFE_FORM = struct.Struct("<qq")


class Bytes(Protocol):
    """What is used of a ListState of bytes."""

    def get(self) -> Iterable[bytes] | None:
        """All elements."""

    def add(self, value: bytes) -> None:
        """Appends an element."""

    def update(self, values: list[bytes]) -> None:
        """Replaces all elements."""

    def clear(self) -> None:
        """Removes all elements."""


class Memory:
    """One symbol's state and its open requests, while a worker holds them.

    Args:
        state: The state as it comes back from the lists, or a new one.
        log: Snapshot and journal.
        trade_keys: The session's trade keys.

    Attributes:
        requests: Requests that wait for their outcome, by the position of their tick.
        waiting: Those among them that wait for their market snapshot, and some that no longer do.
        timer: The next event-time timer, ms; None: none is set.
        look_at: The next timer in processing time, ms; None: none is set.
        settles_at: When in each span of `SETTLE_EVERY_MS` its bars and outcomes are settled, ms. Each symbol has a
            moment of its own: all at once would hold up the ticks that come then.
        life: The worker's life in which it was last in memory, and the second of the newest market snapshot when it
            came there; None where that is not known.
    """

    __slots__ = (
        "_appended",
        "_keys",
        "_log",
        "_snapshot",
        "_trade_keys",
        "life",
        "look_at",
        "requests",
        "settles_at",
        "state",
        "timer",
        "waiting",
    )

    def __init__(self, state: SymbolState, log: Bytes, trade_keys: Bytes) -> None:
        self.state = state
        self.requests: dict[tuple[int, int], Request] = {}
        self.waiting: list[Request] = []
        self.settles_at = zlib.crc32(state.symbol.encode()) % SETTLE_EVERY_MS
        self.timer: int | None = None
        self.look_at: int | None = None
        self.life: tuple[int, int] | None = None
        self._log = log
        self._trade_keys = trade_keys
        self._keys: list[int] = []
        self._appended = self._snapshot = 0

    def recall(self) -> None:
        """Takes up what the lists hold.

        Requests that were answered without a snapshot stay so, whatever has come since: their outcome is scored as
        their prediction was. Those that were skipped stay skipped. Call it once, on a new memory, while the symbol is
        the current key.

        Raises:
            StateVersionError: If an entry is of another form.
        """
        given_up: dict[tuple[int, int], tuple[str, ...]] = {}
        skipped: set[tuple[int, int]] = set()
        folded = codec.restore(self.state, self._read(given_up, skipped), self._trade_keys.get() or ())
        waiting = self.state.waiting
        self.requests = {position: one for position, one in self.requests.items() if position in waiting}
        for position in given_up.keys() & self.requests.keys():
            self.requests[position].give_up(given_up[position])
        for position in skipped & self.requests.keys():
            self.requests[position].skip()
        if folded:
            self.fold(all_keys=True)

    def _read(self, given_up: dict[tuple[int, int], tuple[str, ...]], skipped: set[tuple[int, int]]) -> Iterator[bytes]:
        for element in self._log.get() or ():
            form, kind, length = _ENTRY.unpack_from(element)
            codec.require_form(f"the journal of {self.state.symbol}", form, _FORM)
            if kind == _GIVEN_UP:
                versions = orjson.loads(element[_ENTRY.size + _POSITION.size :])
                given_up[_POSITION.unpack_from(element, _ENTRY.size)] = tuple(versions)
                continue
            if kind == _SKIPPED:
                skipped.add(_POSITION.unpack_from(element, _ENTRY.size))
                continue
            if kind == _LIFE:
                life, newest = _LIFE_FORM.unpack_from(element, _ENTRY.size)
                self.life = (life, newest)
                continue
            if kind == _SNAPSHOT:
                yield element[_ENTRY.size :]
                continue
            end = _ENTRY.size + length
            self._read_requests(element, end)
            if kind == _STATE:
                yield element[_ENTRY.size : end]

    def _read_requests(self, element: bytes, at: int) -> None:
        while at < len(element):
            (length,) = _LENGTH.unpack_from(element, at)
            at += _LENGTH.size
            request = Request.unpack(element[at : at + length])
            self.requests[request.position] = request
            at += length

    def took(self, entry: bytes, key: int | None, request: Request) -> None:
        """Remembers a tick: the codec's entry for it, its trade key, and its request."""
        self.requests[request.position] = request
        if key is not None:
            self._keys.append(key)
        packed = request.pack()
        self._append(_ENTRY.pack(_FORM, _STATE, len(entry)) + entry + _LENGTH.pack(len(packed)) + packed)

    def moved(self, watermark: int) -> None:
        """Remembers that the state has been advanced to this moment (ms)."""
        entry = codec.encode_clock(watermark)
        self._append(_ENTRY.pack(_FORM, _STATE, len(entry)) + entry)

    def lives(self, life: int, newest: int) -> None:
        """Remembers in which life of a worker it has come into memory, and the newest snapshot's second then."""
        self.life = (life, newest)
        self._append(_lives(life, newest))

    def gave_up(self, request: Request) -> None:
        """Remembers that a request was answered without its snapshot."""
        self._append(_given_up(request))

    def skipped(self, request: Request) -> None:
        """Remembers that a request is never answered."""
        self._append(_skipped(request))

    def _append(self, element: bytes) -> None:
        self._appended += len(element)
        if self._appended < max(FOLD_BYTES, self._snapshot):
            self._log.add(element)
        else:
            self.fold()

    def fold(self, *, all_keys: bool = False) -> None:
        """Writes a new snapshot in place of the journal; its trade keys join those kept beside it.

        Args:
            all_keys: Write the trade keys anew, all of them: after a recall, and when a session has ended.
        """
        elements = [_ENTRY.pack(_FORM, _SNAPSHOT, 0) + codec.encode_snapshot(self.state)]
        if self.requests:
            parts = [_ENTRY.pack(_FORM, _REQUESTS, 0)]
            for request in self.requests.values():
                packed = request.pack()
                parts += (_LENGTH.pack(len(packed)), packed)
            elements.append(b"".join(parts))
        elements += [
            _skipped(request) if request.is_skipped else _given_up(request)
            for request in self.requests.values()
            if request.is_skipped or (request.answered and request.market_time is None)
        ]
        if self.life is not None:
            elements.append(_lives(*self.life))
        self._log.update(elements)
        if all_keys:
            self._trade_keys.clear()
        keys = self.state.seen if all_keys else self._keys
        if keys:
            self._trade_keys.add(codec.encode_keys(keys))
        self._keys = []
        self._appended, self._snapshot = 0, sum(map(len, elements))


def _lives(life: int, newest: int) -> bytes:
    return _ENTRY.pack(_FORM, _LIFE, 0) + _LIFE_FORM.pack(life, newest)


def _skipped(request: Request) -> bytes:
    return _ENTRY.pack(_FORM, _SKIPPED, 0) + _POSITION.pack(*request.position)


def _given_up(request: Request) -> bytes:
    """The entry of a request that was answered without its snapshot, and by which versions."""
    return _ENTRY.pack(_FORM, _GIVEN_UP, 0) + _POSITION.pack(*request.position) + orjson.dumps(request.versions)
