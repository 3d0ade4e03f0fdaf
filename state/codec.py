"""How a symbol's memory is kept in Flink's state: a snapshot, and a journal of what has happened since.

Each trade appends a few dozen bytes instead of writing the whole window again; now and then the journal is folded
into a new snapshot. Every element begins with the version of its form: bytes of another version are refused with a
sentence, because Flink hands Python's state back without a look at its type.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgpack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from state.symbol_state import SymbolState

VERSION = 3
"""Form of what the job remembers. Raise it with every change of any state, here or in the journals around it: beside a
savepoint stands this number, and who starts from the savepoint is told by it whether this code can read it."""

_SNAPSHOT, _TRADE, _CLOCK = 1, 2, 3
_HEAD = struct.Struct("<BB")
_TRADE_FORM = struct.Struct("<BBqdqqBiq")  # version, kind, time, price, volume, trade key, has key, partition, offset
_CLOCK_FORM = struct.Struct("<BBq")  # version, kind, watermark

KEY_BYTES = 8

_LARGE = 1
"""Code of the msgpack extension for whole numbers beyond 64 bits: sums of price x volume may be such."""

_EXACT_DIGITS = 18
"""A number of so many digits fits the key as it is."""


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


def encode_trade(time: int, price: float, volume: int, key: int | None, partition: int, offset: int) -> bytes:
    """The journal's entry for one trade."""
    has_key = key is not None
    return _TRADE_FORM.pack(VERSION, _TRADE, time, price, volume, key or 0, has_key, partition, offset)


def encode_clock(watermark: int) -> bytes:
    """The journal's entry for a watermark."""
    return _CLOCK_FORM.pack(VERSION, _CLOCK, watermark)


def encode_snapshot(state: SymbolState) -> bytes:
    """The whole memory but the trade keys, which are kept beside it."""
    body: bytes = msgpack.packb(state.dump(), default=_pack_large)
    return _HEAD.pack(VERSION, _SNAPSHOT) + body


def encode_keys(keys: Iterable[int]) -> bytes:
    """Trade keys, eight bytes each."""
    return b"".join(key.to_bytes(KEY_BYTES, "little", signed=True) for key in keys)


def restore(state: SymbolState, elements: Iterable[bytes], key_chunks: Iterable[bytes]) -> int:
    """Brings a fresh state to where the elements say it stood.

    Args:
        state: A new :class:`SymbolState`.
        elements: Snapshot and journal, in the order in which they were written.
        key_chunks: What :func:`encode_keys` gave; the keys of the journal's own trades are not among them.

    Returns:
        Number of journal entries since the snapshot.

    Raises:
        StateVersionError: If an element is of another version or kind.
    """
    entries = 0
    for element in elements:
        version, kind = _HEAD.unpack_from(element)
        require_form(f"the state of {state.symbol}", version, VERSION)
        if kind == _TRADE:
            _, _, time, price, volume, key, has_key, partition, offset = _TRADE_FORM.unpack(element)
            state.apply(time, price, volume, key if has_key else None, partition, offset)
            entries += 1
        elif kind == _CLOCK:
            _, _, watermark = _CLOCK_FORM.unpack(element)
            state.advance(watermark)
            entries += 1
        elif kind == _SNAPSHOT:
            state.load(msgpack.unpackb(element[_HEAD.size :], strict_map_key=False, ext_hook=_unpack_large))
        else:
            raise StateVersionError(f"the state of {state.symbol} holds an entry of unknown kind {kind}")
    state.take_alerts()
    for chunk in key_chunks:
        state.seen.update(key for (key,) in struct.iter_unpack("<q", chunk))
    return entries


def _pack_large(number: int) -> msgpack.ExtType:
    return msgpack.ExtType(_LARGE, number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True))


def _unpack_large(_code: int, data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)
