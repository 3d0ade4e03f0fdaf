"""The market snapshots that a worker knows, and the market's features that each gives to a tick."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import orjson

from state.codec import StateVersionError
from state.market_state import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

KEEP_S = 4096
"""So many of the newest snapshots are kept: those of every tick that still waits for its outcome. Beyond that minute
it takes in the bound of the disorder, and how far the market may be read ahead of the ticks (source alignment)."""

_HEAD = struct.Struct("<BqH")
_VERSION = 1


class MarketBoard:
    """Snapshots by their second; they come in order.

    Args:
        keep: So many of the newest snapshots are kept.
    """

    def __init__(self, keep: int = KEEP_S) -> None:
        self._keep = keep
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
        while len(self._blocks) > self._keep:
            oldest = next(iter(self._blocks))
            del self._blocks[oldest], self._versions[oldest]

    def load(self, snapshots: Iterable[bytes]) -> None:
        """Takes up what :meth:`post` gave, in any order.

        Raises:
            StateVersionError: If a snapshot is of another form.
        """
        known = []
        for data in snapshots:
            version, second, length = _HEAD.unpack_from(data)
            if version != _VERSION:
                raise StateVersionError(
                    f"a market snapshot in the state has form {version}, this tickcast reads form {_VERSION}: start it "
                    "from a savepoint of its own version, or upgrade through the versions between"
                )
            body = data[_HEAD.size :]
            known.append((second, body[length:], tuple(orjson.loads(body[:length]))))
        for second, block, versions in sorted(known):
            self._put(second, block, versions)

    def columns(self, second: int, group: int) -> bytes:
        """The market's features, float32, that a tick of a contract group (-1: unknown) sees in a snapshot."""
        key = (second, group)
        found = self._columns.get(key)
        if found is None:
            found = self._columns[key] = columns_of(self._blocks[second], group)
        return found

    def versions(self, second: int) -> tuple[str, ...]:
        """The model versions of a snapshot, or of the newest one where there is none for that second."""
        return self._versions.get(second) or self._versions.get(self.newest, ())
