"""A trade as it travels: the tick, its JSON form, and the rules that make it valid."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

import orjson

from state.window import PRICE_UNITS

MAX_RAW_BYTES = 65_536
"""A longer message is not a trade; it is refused without being parsed."""

MIN_PRICE = 1 / PRICE_UNITS
"""The smallest price, in rupees, that the state can tell from 0."""


class Tick(NamedTuple):
    """One trade.

    Attributes:
        symbol: The security's ticker.
        price: Price of one share, in rupees, at least :data:`MIN_PRICE`.
        volume: Number of shares, > 0.
        event_time: When the trade happened, ms since the epoch.
        trade_id: The exchange's id of the trade, unique per symbol; None where the feed has none.
        buyer: The buying broker, where known.
        seller: The selling broker, where known.
    """

    symbol: str
    price: float
    volume: int
    event_time: int
    trade_id: str | None = None
    buyer: str | None = None
    seller: str | None = None


class BadTickError(ValueError):
    """A message that is no valid tick; its text is the dead letter's reason."""


def encode_tick(tick: Tick) -> bytes:
    """The tick as the JSON object of the topic `nepse-ticks`, without the fields that are unknown."""
    fields: dict[str, object] = {
        "symbol": tick.symbol,
        "price": tick.price,
        "volume": tick.volume,
        "timestamp": tick.event_time,
    }
    if tick.trade_id is not None:
        fields["trade_id"] = tick.trade_id
    if tick.buyer is not None:
        fields["buyer"] = tick.buyer
    if tick.seller is not None:
        fields["seller"] = tick.seller
    return orjson.dumps(fields)


class TickParser:
    """Turns a message's bytes into a valid :class:`Tick`, or says why it is none.

    Args:
        symbol_pattern: Regular expression that every symbol of the market matches in full.
        max_price: Highest believable price, in rupees.
        max_volume: Highest believable number of shares in one trade.
    """

    def __init__(self, symbol_pattern: str, max_price: float, max_volume: int) -> None:
        self._is_symbol = re.compile(symbol_pattern).fullmatch
        self._known: set[str] = set()
        self._max_price = max_price
        self._max_volume = max_volume

    def parse(self, raw: bytes | None, record_time: int) -> Tick:  # noqa: C901 - one check after the other
        """Parses and validates one message.

        Args:
            raw: The record's value; None for a null message.
            record_time: The record's timestamp, ms since the epoch: the trade's time where the message has no
                valid one of its own.

        Raises:
            BadTickError: With a sentence that says what is wrong.
        """
        if not raw:
            raise BadTickError("the message is empty" if raw is not None else "the message is null")
        if len(raw) > MAX_RAW_BYTES:
            raise BadTickError(f"the message is longer than {MAX_RAW_BYTES} bytes")
        try:
            fields = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise BadTickError(_why_not_json(raw, error)) from None
        if type(fields) is not dict:
            raise BadTickError(f"the message is a JSON {_json_kind(fields)}, not an object")
        try:
            symbol = fields["symbol"]
            price = fields["price"]
            volume = fields["volume"]
        except KeyError as error:
            raise BadTickError(f"the field {error.args[0]!r} is missing") from None
        if symbol not in self._known if type(symbol) is str else True:
            self._check_symbol(symbol)
        kind = type(price)
        if kind is int:
            price = float(price) if -(2**53) < price < 2**53 else float("inf")
        elif kind is not float:
            raise BadTickError(f"price is a JSON {_json_kind(price)}, not a number")
        if not MIN_PRICE <= price <= self._max_price:
            raise BadTickError(f"price {price!r} is not between {MIN_PRICE:g} and {self._max_price:g}")
        if type(volume) is not int:
            raise BadTickError(f"volume is a JSON {_json_kind(volume)}, not an integer")
        if not 0 < volume <= self._max_volume:
            raise BadTickError(f"volume {volume} is not above 0 and at most {self._max_volume}")
        event_time = fields.get("timestamp")
        if type(event_time) is not int:
            event_time = _from_iso(event_time, record_time)
        return Tick(
            symbol,
            price,
            volume,
            event_time,
            _optional_text(fields, "trade_id"),
            _optional_text(fields, "buyer"),
            _optional_text(fields, "seller"),
        )

    def _check_symbol(self, symbol: object) -> None:
        if not isinstance(symbol, str):
            raise BadTickError(f"symbol is a JSON {_json_kind(symbol)}, not a string")
        if self._is_symbol(symbol) is None:
            raise BadTickError(f"unknown symbol {symbol[:40]!r}: the market's symbols look different")
        self._known.add(symbol)


def _optional_text(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None or type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    raise BadTickError(f"{name} is a JSON {_json_kind(value)}, not a string")


def _from_iso(text: object, record_time: int) -> int:
    """Epoch ms of an ISO-8601 time with zone; the record's time for anything else."""
    if isinstance(text, str):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return record_time
        if moment.tzinfo is not None:
            return round(moment.timestamp() * 1000)
    return record_time


def _why_not_json(raw: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return f"the message is not UTF-8: {wrong.reason} at byte {wrong.start}"
    return f"the message is not JSON: {error}"


def _json_kind(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
