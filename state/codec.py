"""How a symbol's memory is kept in Flink's state: a snapshot, and a journal of what has happened since.

Each trade appends a few dozen bytes instead of writing the whole window again; now and then a snapshot takes the
journal's place. Every element begins with the version of its form: bytes of another version are refused with a
sentence, because Flink hands Python's state back without a look at its type.
"""

from __future__ import annotations

import struct
import zlib
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgpack
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from state.symbol_state import SymbolState

VERSION = 4
"""Form of what the job remembers. Raise it with every change of any state, here or in the journals around it: beside a
savepoint stands this number, and who starts from the savepoint is told by it whether this code can read it."""

SNAPSHOT, TRADE, CLOCK, GIVEN_UP, SKIPPED, LIFE, PACK = range(1, 8)
"""Kinds of elements."""

_HEAD = struct.Struct("<BB")
# Version, kind, time, price, volume, partition, offset, market second, contract group; behind them the trade id.
_TRADE_FORM = struct.Struct("<BBqdqiqqh")
_CLOCK_FORM = struct.Struct("<BBq")  # version, kind, watermark
_POSITION_FORM = struct.Struct("<BBiq")  # version, kind, partition, offset
_LIFE_FORM = struct.Struct("<BBqq")  # version, kind, life, second

KEY_BYTES = 8

_LARGE = 1
"""Code of the msgpack extension for whole numbers beyond 64 bits: sums of price x volume may be such."""

_EXACT_DIGITS = 18
"""A number of so many digits fits the key as it is."""

_FASTEST = 1
"""zlib's level: a window of a thousand trades becomes a quarter of its size in a fifth of a millisecond."""


class StateVersionError(RuntimeError):
    """State that this version of tickcast can't read."""


def require_form(what: str, found: int, read: int) -> None:
    """Sees that bytes of the state are of the form that is read here.

    Args:
        what: What they hold, for the sentence.
        found: The form they were written in.
        read: The form that is read.

    Raises:
        StateVersionError: If they are of another form.
    """
    if found != read:
        raise StateVersionError(
            f"{what} was written in form {found}, this tickcast reads form {read}: "
            "start it from a savepoint of its own version, or upgrade through the versions between"
        )


def trade_key(trade_id: str | None) -> int | None:
    """A signed 64-bit key of a trade id: the number itself where it is one, else a hash; None without an id."""
    if not trade_id:
        return None
    if len(trade_id) <= _EXACT_DIGITS and trade_id.isascii() and trade_id.isdigit() and trade_id[0] != "0":
        return int(trade_id)
    return int.from_bytes(blake2b(trade_id.encode(), digest_size=KEY_BYTES).digest(), "little", signed=True) | -(2**63)


class Trade(NamedTuple):
    """A trade as the journal keeps it, with what its request to the model needs that can't be computed again.

    Attributes:
        time: Event time, ms.
        price: Price of one share, rupees.
        volume: Shares.
        trade_id: Its trade id; None where it has none.
        partition, offset: Its position in the ticks' topic.
        second: Epoch second of the market snapshot that it is scored with.
        group: Contract group; -1 where unknown.
    """

    time: int
    price: float
    volume: int
    trade_id: str | None
    partition: int
    offset: int
    second: int = 0
    group: int = -1


def encode_trade(trade: Trade) -> bytes:
    """The journal's entry for one trade."""
    time, price, volume, trade_id, partition, offset, second, group = trade
    head = _TRADE_FORM.pack(VERSION, TRADE, time, price, volume, partition, offset, second, group)
    return head + trade_id.encode() if trade_id else head


def encode_clock(watermark: int) -> bytes:
    """The journal's entry for a watermark."""
    return _CLOCK_FORM.pack(VERSION, CLOCK, watermark)


def encode_given_up(position: tuple[int, int], versions: tuple[str, ...]) -> bytes:
    """The journal's entry for a tick, by its position, that was scored without a snapshot, and by which versions."""
    return _POSITION_FORM.pack(VERSION, GIVEN_UP, *position) + orjson.dumps(versions)


def decode_given_up(element: bytes) -> tuple[tuple[int, int], tuple[str, ...]]:
    """What :func:`encode_given_up` was given."""
    _, _, partition, offset = _POSITION_FORM.unpack_from(element)
    return (partition, offset), tuple(orjson.loads(element[_POSITION_FORM.size :]))


def encode_skipped(position: tuple[int, int]) -> bytes:
    """The journal's entry for a tick, by its position, that is never scored."""
    return _POSITION_FORM.pack(VERSION, SKIPPED, *position)


def decode_skipped(element: bytes) -> tuple[int, int]:
    """What :func:`encode_skipped` was given."""
    _, _, partition, offset = _POSITION_FORM.unpack(element)
    return partition, offset


def encode_life(life: int, newest: int) -> bytes:
    """The journal's entry for a worker's life, and the second of the newest market snapshot at its beginning."""
    return _LIFE_FORM.pack(VERSION, LIFE, life, newest)


def decode_life(element: bytes) -> tuple[int, int]:
    """What :func:`encode_life` was given."""
    _, _, life, newest = _LIFE_FORM.unpack(element)
    return life, newest


def encode_pack(elements: list[bytes]) -> bytes:
    """Elements as one."""
    body: bytes = msgpack.packb(elements)
    return _HEAD.pack(VERSION, PACK) + body


def decode_pack(element: bytes) -> list[bytes]:
    """What :func:`encode_pack` was given."""
    elements: list[bytes] = msgpack.unpackb(element[_HEAD.size :])
    return elements


def kind_of(element: bytes, whose: str) -> int:
    """An element's kind.

    Args:
        element: The element.
        whose: Its symbol.

    Raises:
        StateVersionError: If it is of another form.
    """
    version, kind = _HEAD.unpack_from(element)
    require_form(f"the state of {whose}", version, VERSION)
    return int(kind)


def encode_snapshot(state: SymbolState) -> bytes:
    """The whole memory but the trade keys, which are kept beside it."""
    return frame_snapshot(msgpack.packb(state.dump(), default=_pack_large))


def frame_snapshot(body: bytes) -> bytes:
    """The element of a snapshot, out of the msgpack of what :meth:`SymbolState.dump` gave."""
    return _HEAD.pack(VERSION, SNAPSHOT) + zlib.compress(body, _FASTEST)


def encode_keys(keys: Iterable[int]) -> bytes:
    """Trade keys, eight bytes each."""
    return b"".join(key.to_bytes(KEY_BYTES, "little", signed=True) for key in keys)


def restore(state: SymbolState, elements: Iterable[bytes], key_chunks: Iterable[bytes]) -> int:
    """Brings a fresh state to where the elements say it stood.

    Args:
        state: A new :class:`SymbolState`.
        elements: Snapshot and journal, in the order in which they were written.
        key_chunks: What :func:`encode_keys` gave, up to the snapshot.

    Returns:
        Number of journal entries since the snapshot.

    Raises:
        StateVersionError: If an element is of another version or kind.
    """
    return sum(1 for _ in replay(state, elements, key_chunks))


def replay(
    state: SymbolState, elements: Iterable[bytes], key_chunks: Iterable[bytes]
) -> Iterator[tuple[Trade, bytes] | None]:
    """Brings a fresh state to where the elements say it stood, entry by entry.

    Args:
        state: A new :class:`SymbolState`.
        elements: Snapshot and journal, in the order in which they were written.
        key_chunks: What :func:`encode_keys` gave, up to the snapshot.

    Yields:
        For each entry behind the snapshot, once the state has taken it: the trade and the own features that it gave,
        bit for bit those that it gave at first; None for a watermark.

    Raises:
        StateVersionError: If an element is of another version or kind.
    """
    for chunk in key_chunks:
        state.seen.update(key for (key,) in struct.iter_unpack("<q", chunk))
    for element in elements:
        kind = kind_of(element, state.symbol)
        if kind == TRADE:
            _, _, time, price, volume, partition, offset, second, group = _TRADE_FORM.unpack_from(element)
            trade_id = element[_TRADE_FORM.size :].decode() or None
            own = state.apply(time, price, volume, trade_key(trade_id), partition, offset)
            yield Trade(time, price, volume, trade_id, partition, offset, second, group), own
        elif kind == CLOCK:
            _, _, watermark = _CLOCK_FORM.unpack(element)
            state.advance(watermark)
            yield None
        elif kind == SNAPSHOT:
            body = zlib.decompress(element[_HEAD.size :])
            state.load(msgpack.unpackb(body, strict_map_key=False, ext_hook=_unpack_large))
        else:
            raise StateVersionError(f"the state of {state.symbol} holds an entry of unknown kind {kind}")
    state.take_alerts()


def _pack_large(number: int) -> msgpack.ExtType:
    return msgpack.ExtType(_LARGE, number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True))


def _unpack_large(_code: int, data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)
