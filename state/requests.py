"""What the model is asked: a tick's features and all that its prediction will tell, and how they travel to the model.

A tick asks once when its market snapshot is there, and once more a minute later when its outcome is known: the same
features give the same probabilities, so no prediction has to be kept for that minute. Requests that fall due together
travel as one block of bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import msgpack
import orjson

from state.features import MARKET_COUNT, NO_MARKET, OWN_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from state.outcomes import Realised

OWN_BYTES = OWN_COUNT * 4
MARKET_BYTES = MARKET_COUNT * 4
ROW_BYTES = OWN_BYTES + MARKET_BYTES

_ROWS = struct.Struct("<I")


class Subject(NamedTuple):
    """What a prediction tells of its tick.

    Attributes:
        symbol: The tick's symbol.
        event_time: Its time, ms.
        trade_id: Its trade id; None where it has none.
        price: Its price, rupees.
        partition, offset: Its position in the ticks' topic.
        sequence: Its number in the symbol's session, from 1.
    """

    symbol: str
    event_time: int
    trade_id: str | None
    price: float
    partition: int
    offset: int
    sequence: int

    @property
    def position(self) -> tuple[int, int]:
        """Partition and offset."""
        return self.partition, self.offset


class Request:
    """One tick that wants its probabilities.

    Args:
        subject: The tick.
        own: The symbol's own features, `OWN_COUNT` float32.
        group: Contract group; -1 where unknown.
        second: Epoch second of the market snapshot that it is scored with.

    Attributes:
        answered: Whether it has been sent to the model.
        columns: The market's features it was sent with, `MARKET_COUNT` float32.
        market_time: Time of the snapshot they came from, ms; None where it had to go without.
        versions: Names of the model versions that score: the active one, then the shadow, if any.
        conflated: Positions of the ticks that are not scored because this newer one was waiting; None without any.
        is_skipped: Whether it is such a tick itself.
        since: When it began to wait for its snapshot, by the machine's clock, ms.
    """

    __slots__ = (
        "answered",
        "columns",
        "conflated",
        "group",
        "is_skipped",
        "market_time",
        "own",
        "second",
        "since",
        "subject",
        "versions",
    )

    def __init__(self, subject: Subject, own: bytes, group: int, second: int) -> None:
        self.subject = subject
        self.own = own
        self.group = group
        self.second = second
        self.answered = False
        self.columns = b""
        self.market_time: int | None = None
        self.versions: tuple[str, ...] = ()
        self.conflated: list[tuple[int, int]] | None = None
        self.is_skipped = False
        self.since = 0

    @property
    def position(self) -> tuple[int, int]:
        """Partition and offset of the tick."""
        return self.subject.position

    def answer(self, columns: bytes, versions: tuple[str, ...]) -> None:
        """Answers it with its snapshot.

        Args:
            columns: The market's features, `MARKET_COUNT` float32.
            versions: The model versions that score it.
        """
        self.answered = True
        self.columns, self.market_time, self.versions = columns, self.second * 1000, versions

    def give_up(self, versions: tuple[str, ...]) -> None:
        """Answers it without a snapshot.

        Args:
            versions: The model versions that score it.
        """
        self.answered = True
        self.columns, self.market_time, self.versions = NO_MARKET, None, versions

    def skip(self) -> None:
        """It is never sent to the model: neither its prediction nor its outcome is told."""
        self.answered = self.is_skipped = True

    def replace(self, older: Request) -> None:
        """Is scored alone, in place of an older one and of those that the older one replaces."""
        self.conflated, older.conflated = older.conflated or [], None
        self.conflated.append(older.position)
        older.skip()


class Asked(NamedTuple):
    """A request as the model gets it.

    Attributes:
        subject: The tick.
        market_time: Time of its market snapshot, ms; None where it had none.
        outcome: Due time (ms), direction and realised price, once they are known.
        conflated: Positions of the ticks that are not scored because this newer one was waiting.
    """

    subject: Subject
    market_time: int | None
    outcome: tuple[int, str, float] | None
    conflated: Sequence[tuple[int, int]] = ()


class Block(NamedTuple):
    """Requests that were sent together.

    Attributes:
        rows: Features, `OWN_COUNT + MARKET_COUNT` float32 each, one row behind the other.
        versions: The model versions that score them: the active one, then the shadow, if any.
        asked: What to tell beside the probabilities.
    """

    rows: bytes
    versions: tuple[str, ...]
    asked: list[Asked]


def predictions_blocks(requests: Iterable[Request]) -> list[bytes]:
    """Answered requests: a block for each set of versions."""
    return _blocks((request, None) for request in requests)


def outcomes_blocks(judged: Iterable[tuple[Request, Realised]]) -> list[bytes]:
    """Answered requests and what became of their prices: a block for each set of versions."""
    return _blocks((request, (one.due_time, one.direction, one.realised_price)) for request, one in judged)


def _blocks(asked: Iterable[tuple[Request, tuple[int, str, float] | None]]) -> list[bytes]:
    by_versions: dict[tuple[str, ...], list[tuple[Request, tuple[int, str, float] | None]]] = {}
    for one in asked:
        by_versions.setdefault(one[0].versions, []).append(one)
    blocks = []
    for versions, together in by_versions.items():
        parts = [_ROWS.pack(len(together))]
        for request, _ in together:
            parts += (request.own, request.columns)
        told = [
            (*request.subject, request.market_time, outcome, request.conflated)
            if request.conflated
            else (*request.subject, request.market_time, outcome)
            for request, outcome in together
        ]
        parts.append(orjson.dumps((versions, told)))
        blocks.append(b"".join(parts))
    return blocks


def pack_blocks(blocks: Iterable[bytes]) -> bytes:
    """Blocks as one."""
    packed: bytes = msgpack.packb(list(blocks))
    return packed


def read_blocks(data: bytes) -> Iterator[Block]:
    """Takes apart what :func:`pack_blocks` made."""
    yield from map(_read_block, msgpack.unpackb(data))


def _read_block(data: bytes) -> Block:
    (count,) = _ROWS.unpack_from(data)
    end = _ROWS.size + count * ROW_BYTES
    versions, told = orjson.loads(data[end:])
    asked = [Asked(Subject(*one[:7]), *one[7:]) for one in told]
    return Block(data[_ROWS.size : end], tuple(versions), asked)
