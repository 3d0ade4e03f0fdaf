"""From a feed's JSON to a tick, said in a table instead of in code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from state.tick import Tick

_MAX_DIGITS = 40
"""A number with more before or after its point is none of a trade, and would be slow to reckon with."""
_MAX_VOLUME = 2**63
"""What an integer in JSON can hold for every reader."""
_MAX_EPOCH_MS = 4_102_444_800_000
"""The year 2100: a later time is a mistaken unit."""


class UnmappableError(ValueError):
    """A message that can't be turned into a tick; the text says why."""


@dataclass(frozen=True)
class Mapping:
    """Which field of a feed's message is what.

    Attributes:
        symbol: Name of the field with the symbol.
        price: Name of the field with the price: a number, or one written as text.
        volume: Name of the field with the quantity: a number, or one written as text.
        event_time: Name of the field with the trade's time: ms since the epoch, or ISO-8601 with a zone.
        trade_id: Name of the field with the trade's id.
        buyer: Name of the field with the buyer, if the feed has one.
        seller: Name of the field with the seller, if the feed has one.
        envelope: Name of the field that holds the message itself, where a feed may wrap it.
        only: A field and the value it has in a trade; what has another is no trade and is passed over.
        sequence: Name of the field with a number that increases over the whole feed, if it has one.
        volume_units: Units of volume in one of the feed's. A tick's volume is a whole number; where a feed
            trades in fractions, this makes the smallest fraction 1.
        can_resume: Whether the feed, asked after a reconnect, sends again what came after a given message.
    """

    symbol: str
    price: str
    volume: str
    event_time: str
    trade_id: str
    buyer: str | None = None
    seller: str | None = None
    envelope: str | None = None
    only: tuple[str, str] | None = None
    sequence: str | None = None
    volume_units: int = 1
    can_resume: bool = False


PRESETS = {
    "own": Mapping(
        symbol="symbol",
        price="price",
        volume="volume",
        event_time="timestamp",
        trade_id="trade_id",
        buyer="buyer",
        seller="seller",
        sequence="sequence",
        can_resume=True,
    ),
    # Quantities have up to eight decimals: a volume of 1 is 10⁻⁸ of the base asset.
    "binance": Mapping(
        symbol="s",
        price="p",
        volume="q",
        event_time="T",
        trade_id="t",
        envelope="data",
        only=("e", "trade"),
        volume_units=10**8,
    ),
}
"""Feeds whose format is known: the own one, as in the topic of ticks, and Binance's trade stream, plain or combined."""


def map_message(raw: str | bytes, mapping: Mapping) -> tuple[Tick, int | str | None] | None:
    """Turns a feed's message into a tick.

    Returns:
        The tick, and the mark to resume after (its sequence number, or else its id); None if the message is
        none of a trade.

    Raises:
        UnmappableError: With what is wrong.
    """
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise UnmappableError(f"the message is not JSON: {error}") from None
    if mapping.envelope is not None and isinstance(fields, dict):
        fields = fields.get(mapping.envelope, fields)
    if not isinstance(fields, dict):
        raise UnmappableError("the message is no JSON object")
    if mapping.only is not None and fields.get(mapping.only[0]) != mapping.only[1]:
        return None
    symbol = fields.get(mapping.symbol)
    if not isinstance(symbol, str) or not symbol:
        raise UnmappableError(f"the field '{mapping.symbol}' has no symbol")
    tick = Tick(
        symbol=symbol,
        price=_price(fields.get(mapping.price), mapping.price),
        volume=_volume(fields.get(mapping.volume), mapping),
        event_time=_event_time(fields.get(mapping.event_time), mapping.event_time),
        trade_id=_text(fields, mapping.trade_id),
        buyer=_text(fields, mapping.buyer),
        seller=_text(fields, mapping.seller),
    )
    sequence = fields.get(mapping.sequence) if mapping.sequence is not None else None
    return tick, sequence if type(sequence) is int else tick.trade_id


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return Decimal("nan")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return Decimal("nan")
    return number if number.is_finite() and abs(number.adjusted()) < _MAX_DIGITS else Decimal("nan")


def _price(value: object, name: str) -> float:
    price = float(_decimal(value))
    if not (math.isfinite(price) and price > 0):
        raise UnmappableError(f"the field '{name}' is no price above 0")
    return price


def _volume(value: object, mapping: Mapping) -> int:
    volume = _decimal(value) * mapping.volume_units
    if not (volume.is_finite() and 0 < volume < _MAX_VOLUME and volume == int(volume)):
        raise UnmappableError(
            f"the field '{mapping.volume}' is no quantity above 0 in steps of {Decimal(1) / mapping.volume_units}"
        )
    return int(volume)


def _event_time(value: object, name: str) -> int:
    if type(value) is int and 0 < value < _MAX_EPOCH_MS:
        return value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None:
            return math.floor(moment.timestamp() * 1000)
    raise UnmappableError(f"the field '{name}' is no time in ms since the epoch and no ISO-8601 time with a zone")


def _text(fields: dict[str, Any], name: str | None) -> str | None:
    value = fields.get(name) if name is not None else None
    return None if value in (None, "") else str(value)
