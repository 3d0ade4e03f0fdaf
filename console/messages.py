"""Topics' messages on disk, as they were read: what a long run writes would not fit into memory, parsed even less."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping
from mmap import ACCESS_READ, mmap
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from zlib import crc32

import msgpack
import numpy as np
import orjson

from console.golden import Message, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Json = dict[str, Any]
Key = TypeVar("Key")
Item = TypeVar("Item")


class Spool:
    """Byte strings in a file without a name, which is gone when the spool is closed or the process ends."""

    def __init__(self) -> None:
        self._file = TemporaryFile(prefix="tickcast-")  # noqa: SIM115 - closed with the spool
        self._ends = array("Q", [0])
        self._view: mmap | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._view is not None:
            self._view.close()
        self._file.close()

    def append(self, value: bytes) -> int:
        """Adds a byte string; returns its number."""
        self._file.write(value)
        self._ends.append(self._ends[-1] + len(value))
        return len(self._ends) - 2

    def __getitem__(self, number: int) -> bytes:
        start, end = self._ends[number], self._ends[number + 1]
        if self._view is None or len(self._view) < end:
            self._file.flush()
            self._view = mmap(self._file.fileno(), 0, access=ACCESS_READ)
        return self._view[start:end]


class _Spooled(Collection[Item]):
    """What was read, in its order; whoever goes through it gets each item made anew.

    Args:
        spool: Where the bytes are put.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._numbers = array("Q")
        self._symbols = array("I")

    def _keep(self, value: bytes, symbol: str) -> None:
        self._numbers.append(self._spool.append(value))
        self._symbols.append(crc32(symbol.encode()))

    def _read(self, value: bytes) -> Item:
        raise NotImplementedError

    def share(self, number: int, of: int) -> Self:
        """The items of every so-manieth symbol, one of `of` shares that are all different."""
        chosen = np.frombuffer(self._symbols, np.uint32) % of == number
        share = type(self)(self._spool)
        share._numbers = array("Q", np.frombuffer(self._numbers, np.uint64)[chosen].tobytes())  # noqa: SLF001
        share._symbols = array("I", np.frombuffer(self._symbols, np.uint32)[chosen].tobytes())  # noqa: SLF001
        return share

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Item]:
        return (self._read(self._spool[number]) for number in self._numbers)

    def __contains__(self, item: object) -> bool:
        return any(one == item for one in self)


class Messages(_Spooled[Json]):
    """Messages of a result topic."""

    def append(self, value: bytes, symbol: str = "") -> None:
        """Adds one, and the symbol that it is about."""
        self._keep(value, symbol)

    def _read(self, value: bytes) -> Json:
        message: Json = orjson.loads(value)
        return message

    def by(self, key: Callable[[Json], Key]) -> Keyed[Key]:
        """The first message of each key, in the order of the keys."""
        first: dict[Key, int] = {}
        for number, message in zip(self._numbers, self, strict=True):
            first.setdefault(key(message), number)
        return Keyed(self._spool, {key: first[key] for key in sorted(first)})  # type: ignore[type-var]


class Keyed(Mapping[Key, Json], Generic[Key]):
    """Messages by what tells them apart.

    Args:
        spool: Where their bytes are.
        numbers: Which of it each is.
    """

    def __init__(self, spool: Spool, numbers: dict[Key, int]) -> None:
        self._spool = spool
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._numbers)

    def __contains__(self, key: object) -> bool:
        return key in self._numbers

    def __getitem__(self, key: Key) -> Json:
        message: Json = orjson.loads(self._spool[self._numbers[key]])
        return message


class TickLog(_Spooled[Message]):
    """The ticks' topic."""

    def append(self, message: Message, symbol: str) -> None:
        """Adds a message, and the symbol whose tick it is; an empty one if it is no tick."""
        self._keep(msgpack.packb(message), symbol)

    def _read(self, value: bytes) -> Message:
        position, *rest = msgpack.unpackb(value)
        return Message(Position(*position), *rest)
