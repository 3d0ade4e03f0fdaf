"""The market snapshots that a worker knows, and the market's features that each gives to a tick."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import orjson

from state.market_state import block_length, market_columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

KEEP_S = 2048
"""So many of the newest snapshots are kept: those of every tick that still waits for its outcome. Beyond that minute
it takes in the bound of the disorder, and how far the market may be read ahead of the ticks (source alignment)."""

_HEAD = struct.Struct("<BqH")
_VERSION = 1


class MarketBoard:
    """Snapshots by their second; they come in order.

    Args:
        group_count: Contract groups of the market.
        keep: So many of the newest snapshots are kept.
    """

    def __init__(self, group_count: int, keep: int = KEEP_S) -> None:
        self._group_count = group_count
        self._keep = keep
        length = block_length(group_count)
        places = np.arange(length, dtype=np.float32)[np.newaxis].repeat(group_count + 1, axis=0)
        columns = market_columns(places, np.arange(-1, group_count, dtype=np.intp), group_count)
        # Behind each block stands one unknown number, for groups that are none.
        self._places = np.where(np.isnan(columns), length, columns).astype(np.intp)
        self._unknown = np.full(1, np.nan, np.float32)
        self.nothing = np.full(self._places.shape[1], np.nan, np.float32).tobytes()
        """The market's features of a tick that has no snapshot."""
        self._blocks: dict[int, NDArray[np.float32]] = {}
        self._columns: dict[tuple[int, int], bytes] = {}
        self._versions: dict[int, tuple[str, ...]] = {}
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
        self._blocks[second] = np.concatenate((np.frombuffer(block, np.float32), self._unknown))
        self._versions[second] = versions
        self.newest = max(self.newest, second)
        self._columns.clear()
        while len(self._blocks) > self._keep:
            oldest = next(iter(self._blocks))
            del self._blocks[oldest], self._versions[oldest]

    def load(self, snapshots: Iterable[bytes]) -> None:
        """Takes up what :meth:`post` gave, in any order.

        Raises:
            ValueError: If a snapshot is of another form.
        """
        known = []
        for data in snapshots:
            version, second, length = _HEAD.unpack_from(data)
            if version != _VERSION:
                raise ValueError(f"a market snapshot in the state has form {version}, this tickcast reads {_VERSION}")
            body = data[_HEAD.size :]
            known.append((second, body[length:], tuple(orjson.loads(body[:length]))))
        for second, block, versions in sorted(known):
            self._put(second, block, versions)

    def columns(self, second: int, group: int) -> bytes:
        """The market's features, float32, that a tick of a contract group (-1: unknown) sees in a snapshot."""
        key = (second, group)
        found = self._columns.get(key)
        if found is None:
            place = group + 1 if 0 <= group < self._group_count else 0
            found = self._columns[key] = self._blocks[second][self._places[place]].tobytes()
        return found

    def versions(self, second: int) -> tuple[str, ...]:
        """The model versions of a snapshot, or of the newest one where there is none for that second."""
        return self._versions.get(second) or self._versions.get(self.newest, ())
