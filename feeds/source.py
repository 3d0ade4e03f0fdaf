"""What every source of ticks has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state.tick import Tick


class FeedError(Exception):
    """A feed can't go on; the text is a sentence that says why and what to do."""


class RawMessage(NamedTuple):
    """A message that is sent as it is, valid or not.

    Attributes:
        key: The record's key, or None.
        value: The record's value, or None for a null message.
        event_time: The record's timestamp, ms since the epoch.
    """

    key: bytes | None
    value: bytes | None
    event_time: int


class BadRow(NamedTuple):
    """An input row that is no tick: where it stands and what is wrong with it."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"


class TickSource(Protocol):
    """A finite source of ticks, in order of arrival."""

    @property
    def total(self) -> int | None:
        """Rows that the source holds, bad ones included; None where that is unknown beforehand."""

    @property
    def bad_rows(self) -> list[BadRow]:
        """The rows met so far that are no ticks."""
        ...

    def __iter__(self) -> Iterator[Tick | RawMessage]: ...
