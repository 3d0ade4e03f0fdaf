"""Journals of the form before, read as if they were of the form of now.

In form 3 each tick's entry held its request, features and all, and a snapshot took the journal's place at once, with
the open requests beside it. Elements of both forms may stand in one list: what was written before an upgrade stays
until the next snapshot takes its place.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import orjson

from state import codec
from state.features import OWN_COUNT
from state.requests import Request, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

JOURNAL = 2
"""The first byte of each element."""

_FORM = 3

_ENTRY = struct.Struct("<BBH")  # form, kind, length of the state's entry; what follows it are requests
_REQUESTS, _GIVEN_UP, _SNAPSHOT, _LIFE, _SKIPPED = 2, 3, 4, 5, 6
_LENGTH = struct.Struct("<I")
_REQUEST = struct.Struct("<iqqhI")  # partition, offset, market second, contract group, sequence
_CLOCK = 3
_TRADE_FORM = struct.Struct("<BBqdqqBiq")  # version, kind, time, price, volume, trade key, has key, partition, offset
_CLOCK_FORM = struct.Struct("<BBq")  # version, kind, watermark
_POSITION = struct.Struct("<iq")
_LIFE_FORM = struct.Struct("<qq")
_OWN_BYTES = OWN_COUNT * 4

_SIMPLE = {
    _GIVEN_UP: lambda body: codec.encode_given_up(_POSITION.unpack_from(body), orjson.loads(body[_POSITION.size :])),
    _SKIPPED: lambda body: codec.encode_skipped(_POSITION.unpack(body)),
    _LIFE: lambda body: codec.encode_life(*_LIFE_FORM.unpack(body)),
    _SNAPSHOT: lambda body: codec.frame_snapshot(body[2:]),
}


def read(element: bytes) -> tuple[list[bytes], list[Request]]:
    """One element in the form of now.

    Args:
        element: An element of the list, beginning with :data:`JOURNAL`.

    Returns:
        Elements as :mod:`state.codec` writes them, and the open requests whose trades came before the snapshot.

    Raises:
        StateVersionError: If what it holds is of a form that is not form 3.
    """
    _, kind, length = _ENTRY.unpack_from(element)
    body = element[_ENTRY.size :]
    if kind == _REQUESTS:
        return [], list(_requests(body))
    return [_SIMPLE[kind](body) if kind in _SIMPLE else _convert(body, length)], []


def _convert(body: bytes, length: int) -> bytes:
    """A trade with its request behind it, or a watermark."""
    form, kind = body[0], body[1]
    codec.require_form("a journal's entry", form, _FORM)
    if kind == _CLOCK:
        return codec.encode_clock(_CLOCK_FORM.unpack_from(body)[2])
    _, _, time, price, volume, _, _, partition, offset = _TRADE_FORM.unpack_from(body)
    (request,) = _requests(body[length:])
    trade = codec.Trade(time, price, volume, request.subject.trade_id, partition, offset, request.second, request.group)
    return codec.encode_trade(trade)


def _requests(body: bytes) -> Iterator[Request]:
    at = 0
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        partition, offset, second, group, sequence = _REQUEST.unpack_from(body, at)
        own_at = at + _REQUEST.size
        own = body[own_at : own_at + _OWN_BYTES]
        at += length
        symbol, event_time, trade_id, price = orjson.loads(body[own_at + _OWN_BYTES : at])
        yield Request(Subject(symbol, event_time, trade_id, price, partition, offset, sequence), own, group, second)
