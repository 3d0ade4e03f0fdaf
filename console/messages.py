"""A topic's messages as they were read: parsed, all at once, they would take four times the memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = dict[str, Any]
Key = TypeVar("Key")


class Messages(Collection[Json]):
    """Messages in the order in which they were read; whoever goes through them gets each parsed anew."""

    def __init__(self) -> None:
        self._values: list[bytes] = []

    def append(self, value: bytes) -> None:
        """Adds one."""
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Json]:
        return map(orjson.loads, self._values)

    def __contains__(self, message: object) -> bool:
        return any(one == message for one in self)

    def by(self, key: Callable[[Json], Key]) -> Keyed[Key]:
        """The first message of each key."""
        first: dict[Key, bytes] = {}
        for value in self._values:
            first.setdefault(key(orjson.loads(value)), value)
        return Keyed(first)


class Keyed(Mapping[Key, Json]):
    """Messages by what tells them apart.

    Args:
        values: Their bytes.
    """

    def __init__(self, values: dict[Key, bytes]) -> None:
        self._values = values

    def in_order(self) -> Keyed[Key]:
        """The same in the order of their keys."""
        return Keyed({key: self._values[key] for key in sorted(self._values)})  # type: ignore[type-var]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __getitem__(self, key: Key) -> Json:
        message: Json = orjson.loads(self._values[key])
        return message
