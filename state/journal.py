"""A symbol's memory as it stands in Flink's ListStates, and how it comes back from there.

One list holds a snapshot of the state and the journal of what has happened since: each tick appends one entry instead
of writing the whole window again. Requests that wait for their outcome are not written at all: to replay the journal
makes them again, features and all. So a snapshot takes the journal's place only when everything is settled that was
open when it was made, a minute later. The other list holds the trade keys of the session, up to the snapshot.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

from state import codec, form_3
from state.outcomes import SETTLE_EVERY_MS
from state.requests import Request, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from state.codec import Trade
    from state.symbol_state import SymbolState

FOLD_BYTES = 8_192
"""A new snapshot is made when the journal has grown by so much, and by more than the snapshot before it: whatever a
symbol's memory holds, writing it anew costs each tick no more than twice the tick's own entry."""


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
        "_anew",
        "_grown",
        "_keys",
        "_log",
        "_next",
        "_size",
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
        """Of the session's trades since the newest snapshot, whether that is in the list or to be."""
        self._anew = False
        """Whether the list of trade keys speaks of another session than they do."""
        self._size = 0
        """Bytes of the newest snapshot."""
        self._grown = 0
        """Bytes of the journal since then."""
        self._next: _Snapshot | None = None

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
        state = self.state
        for taken in codec.replay(state, self._read(given_up, skipped), self._trade_keys.get() or ()):
            if taken is not None:
                trade, own = taken
                self._open(trade, codec.trade_key(trade.trade_id), own)
            elif not state.trades:
                self._keys, self._anew = [], True
        waiting = state.waiting
        self.requests = {position: one for position, one in self.requests.items() if position in waiting}
        for position in given_up.keys() & self.requests.keys():
            self.requests[position].give_up(given_up[position])
        for position in skipped & self.requests.keys():
            self.requests[position].skip()

    def _read(self, given_up: dict[tuple[int, int], tuple[str, ...]], skipped: set[tuple[int, int]]) -> Iterator[bytes]:
        """Snapshot, trades and watermarks; the rest is taken up on the way."""
        for element in self._elements():
            kind = codec.kind_of(element, self.state.symbol)
            if kind == codec.SNAPSHOT:
                self._size, self._grown = len(element), -len(element)
            self._grown += len(element)
            if kind == codec.GIVEN_UP:
                position, versions = codec.decode_given_up(element)
                given_up[position] = versions
            elif kind == codec.SKIPPED:
                skipped.add(codec.decode_skipped(element))
            elif kind == codec.LIFE:
                self.life = codec.decode_life(element)
            else:
                yield element

    def _elements(self) -> Iterator[bytes]:
        """What the list holds, one by one, in the form of now."""
        for element in self._log.get() or ():
            if element[0] == form_3.JOURNAL:
                converted, requests = form_3.read(element)
                self.requests.update((request.position, request) for request in requests)
                yield from converted
            elif codec.kind_of(element, self.state.symbol) == codec.PACK:
                yield from codec.decode_pack(element)
            else:
                yield element

    def took(self, trade: Trade, key: int | None, own: bytes) -> Request:
        """Remembers a trade that the state has taken in.

        Args:
            trade: The trade.
            key: Its trade key.
            own: The features that it gave.

        Returns:
            Its request, which is open from now on.
        """
        request = self._open(trade, key, own)
        self._append(codec.encode_trade(trade))
        return request

    def _open(self, trade: Trade, key: int | None, own: bytes) -> Request:
        time, price, _, trade_id, partition, offset, second, group = trade
        sequence = self.state.trades
        if sequence == 1:
            self._keys, self._anew = [], True
        if key is not None:
            self._keys.append(key)
        subject = Subject(self.state.symbol, time, trade_id, price, partition, offset, sequence)
        request = Request(subject, own, group, second)
        self.requests[partition, offset] = request
        return request

    def moved(self, watermark: int) -> None:
        """Remembers that the state has been advanced to this moment (ms)."""
        self._append(codec.encode_clock(watermark))
        if not self.state.trades:
            # The night's checkpoints shall not hold what the day was.
            self._keys, self._anew = [], True
            self._make_snapshot()

    def lives(self, life: int, newest: int) -> None:
        """Remembers in which life of a worker it has come into memory, and the newest snapshot's second then."""
        self.life = (life, newest)
        self._append(codec.encode_life(life, newest))

    def gave_up(self, request: Request) -> None:
        """Remembers that a request was answered without its snapshot."""
        self._append(codec.encode_given_up(request.position, request.versions))

    def skipped(self, request: Request) -> None:
        """Remembers that a request is never answered."""
        self._append(codec.encode_skipped(request.position))

    def _append(self, element: bytes) -> None:
        self._log.add(element)
        self._grown += len(element)
        if self._next is not None:
            self._next.since.append(element)
            if self.state.clock >= self._next.settled_at:
                self._fold(self._next)
        elif self._grown >= max(FOLD_BYTES, self._size):
            self._make_snapshot()

    def _make_snapshot(self) -> None:
        """Makes the next snapshot, to take the journal's place when all is settled that is open now."""
        state = self.state
        settled_at = state.last_outcome_due or 0
        self._next = _Snapshot(codec.encode_snapshot(state), settled_at, self._keys, self._anew)
        self._keys, self._anew = [], False
        self._grown, self._size = 0, len(self._next.element)
        if state.clock >= settled_at:
            self._fold(self._next)

    def _fold(self, snapshot: _Snapshot) -> None:
        """A snapshot takes the place of all that happened before it was made."""
        elements = [snapshot.element]
        if self.life is not None:
            elements.append(codec.encode_life(*self.life))
        if snapshot.since:
            elements.append(codec.encode_pack(snapshot.since))
        self._log.update(elements)
        if snapshot.keys_anew:
            self._trade_keys.clear()
        if snapshot.keys:
            self._trade_keys.add(codec.encode_keys(snapshot.keys))
        self._next = None


class _Snapshot:
    """A snapshot that waits until what was open when it was made is settled.

    Args:
        element: The codec's element.
        settled_at: The watermark (ms) that settles it.
        keys: Trade keys of its session, since the snapshot before it.
        keys_anew: Whether those kept before are another session's.

    Attributes:
        since: The journal since it was made.
    """

    __slots__ = ("element", "keys", "keys_anew", "settled_at", "since")

    def __init__(self, element: bytes, settled_at: int, keys: list[int], keys_anew: bool) -> None:
        self.element = element
        self.settled_at = settled_at
        self.keys = keys
        self.keys_anew = keys_anew
        self.since: list[bytes] = []
