"""The market snapshots that a worker knows, and the market's features that each gives to a tick."""

from __future__ import annotations

import struct
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import orjson

from state.codec import require_form
from state.market_state import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

KEEP_S = 4096
"""So many of the newest snapshots are kept at most: those of every tick that still waits for its outcome, and as many
as the market may be read ahead of the ticks (source alignment, and the ticks of a bundle)."""

KEEP_PAST_S = 1024
"""So many of those that event time has passed: the minute until a tick's outcome, and what its settling may lag behind.
A live market is hardly ahead of its ticks, and each checkpoint writes all snapshots, in Flink byte by byte."""

_KEEP_COLUMNS = 65_536
"""So many columns made are kept; a job makes them anew with each snapshot, a replay of past days never has to."""

_HEAD = struct.Struct("<BqH")
_VERSION = 1
_LIFE = struct.Struct("<qq")
_LIVES_VERSION = 1
_KEEP_LIVES = 256


class MarketBoard:
    """Snapshots by their second; they come in order.

    Args:
        keep: So many of the newest snapshots are kept at most.
        keep_past: So many of those are kept that event time has passed, as far as :meth:`forget` is told.
    """

    def __init__(self, keep: int = KEEP_S, keep_past: int = KEEP_PAST_S) -> None:
        self._keep = keep
        self._keep_past = keep_past
        self._past: deque[int] = deque()
        self._ahead: deque[int] = deque()
        self._places: dict[int, int] = {}
        """Which second has which place in the state."""
        self._freed: list[int] = []
        self._blocks: dict[int, NDArray[np.float32]] = {}
        self._versions: dict[int, tuple[str, ...]] = {}
        self._columns: dict[tuple[int, int], bytes] = {}
        self.newest = 0
        """Second of the newest snapshot."""

    def __contains__(self, second: int) -> bool:
        return second in self._blocks

    def post(self, second: int, block: bytes, versions: tuple[str, ...]) -> bytes:
        """Takes in the next snapshot; returns it as bytes for :meth:`load`.

        Args:
            second: Its epoch second.
            block: Its float32 block.
            versions: The model versions that score the ticks that see it.
        """
        self._put(second, block, versions)
        names = orjson.dumps(versions)
        return _HEAD.pack(_VERSION, second, len(names)) + names + block

    def _put(self, second: int, block: bytes, versions: tuple[str, ...]) -> None:
        self._blocks[second] = np.frombuffer(block, np.float32)
        self._versions[second] = versions
        self.newest = max(self.newest, second)
        self._columns.clear()
        self._ahead.append(second)
        self._places[self.place(second)] = second
        if len(self._blocks) > self._keep:
            self._drop((self._past or self._ahead).popleft())

    def place(self, second: int) -> int:
        """Where the state has a second's snapshot: in a ring."""
        return second % self._keep

    def forget(self, watermark_s: int) -> list[int]:
        """Forgets what no tick can ask for any more.

        Args:
            watermark_s: The epoch second up to which event time has come.

        Returns:
            The places in the state that have become free since the last call.
        """
        while self._ahead and self._ahead[0] <= watermark_s:
            self._past.append(self._ahead.popleft())
        while len(self._past) > self._keep_past:
            self._drop(self._past.popleft())
        freed, self._freed = self._freed, []
        return freed

    def _drop(self, second: int) -> None:
        del self._blocks[second], self._versions[second]
        place = self.place(second)
        if self._places[place] == second:  # no newer one has it already
            del self._places[place]
            self._freed.append(place)

    def load(self, snapshots: Iterable[bytes]) -> None:
        """Takes up what :meth:`post` gave, in any order.

        Raises:
            StateVersionError: If a snapshot is of another form.
        """
        known = []
        for data in snapshots:
            version, second, length = _HEAD.unpack_from(data)
            require_form("a market snapshot in the state", version, _VERSION)
            body = data[_HEAD.size :]
            known.append((second, body[length:], tuple(orjson.loads(body[:length]))))
        for second, block, versions in sorted(known):
            self._put(second, block, versions)

    def columns(self, second: int, group: int) -> bytes:
        """The market's features, float32, that a tick of a contract group (-1: unknown) sees in a snapshot."""
        key = (second, group)
        found = self._columns.get(key)
        if found is None:
            if len(self._columns) >= _KEEP_COLUMNS:
                self._columns.clear()
            found = self._columns[key] = columns_of(self._blocks[second], group)
        return found

    def versions(self, second: int) -> tuple[str, ...]:
        """The model versions of a snapshot, or of the newest one where there is none for that second."""
        return self._versions.get(second) or self._versions.get(self.newest, ())


class Lives:
    """Which snapshots had come when one worker ended and the next began: what a symbol has slept through.

    A worker hands a snapshot to those ticks that wait for it in its memory. A symbol that no tick and no timer has
    called since the last restart is not in memory: its ticks have not had the snapshots since. Which those are is known
    from the symbol's last life and from where the next one began.

    Args:
        packed: What :meth:`pack` gave; None: nothing is known of earlier lives.
        newest: Second of the newest snapshot that the state has.

    Raises:
        StateVersionError: If it is of another form.
    """

    def __init__(self, packed: bytes | None, newest: int) -> None:
        self._newest = newest
        self._begun: list[tuple[int, int]] = []  # life, second of the newest snapshot at its beginning
        if packed is not None:
            require_form("the state of the workers' lives", packed[0], _LIVES_VERSION)
            self._begun = [(life, second) for life, second in _LIFE.iter_unpack(packed[1:])]

    def covered(self, last: tuple[int, int] | None) -> int:
        """Second of the newest snapshot that a symbol's waiting ticks have had.

        Args:
            last: The last life in which the symbol was in memory, and the second of the newest snapshot when it came
                there; None where that is from before lives were noted.
        """
        if not self._begun:
            return self._newest
        if last is None:
            return self._begun[0][1]
        life, newest = last
        if self._begun[-1][0] == life:
            return self._newest
        following = [second for (earlier, _), (_, second) in pairwise(self._begun) if earlier == life]
        # A life that has left no trace has seen no snapshot.
        return following[-1] if following else newest

    def pack(self, life: int) -> bytes:
        """The same with one more life, which begins with the newest snapshot of the state."""
        begun = [*self._begun, (life, self._newest)][-_KEEP_LIVES:]
        return bytes([_LIVES_VERSION]) + b"".join(_LIFE.pack(*one) for one in begun)
