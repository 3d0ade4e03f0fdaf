"""The JSON objects of the result topics: one place for their fields, used by the job and by `tickcast verify`."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from state.bars import Bar
    from state.market_alerts import MarketAlert
    from state.market_state import MarketSnapshot
    from state.symbol_alerts import Alert
    from state.tick import Tick

MARKET_PARTITION = -1
"""Stands where a market-wide alert would name its tick's partition; its offset is then the epoch second in which it
was found: a halt that the index announced and the same halt found by its length are two alerts of two seconds."""

MARKET_SYMBOL = "*MARKET*"


def _source(partition: int, offset: int) -> dict[str, int]:
    return {"partition": partition, "offset": offset}


def bar_record(symbol: str, bar: Bar) -> dict[str, object]:
    """A bar's message."""
    fields: dict[str, object] = {"symbol": symbol, **bar._asdict()}
    fields["source"] = _source(fields.pop("partition"), fields.pop("offset"))  # type: ignore[arg-type]
    return fields


def alert_record(symbol: str, alert: Alert) -> dict[str, object]:
    """A symbol's alert."""
    return {
        "rule": alert.rule,
        "symbol": symbol,
        "threshold": alert.threshold,
        "value": alert.value,
        "event_time": alert.event_time,
        "message": alert.message,
        "detail": {},
        "source": _source(alert.partition, alert.offset),
    }


def market_alert_record(alert: MarketAlert) -> dict[str, object]:
    """An alert about the whole market."""
    found_at = alert.event_time if alert.end is None else alert.end
    return {
        "rule": alert.rule,
        "symbol": MARKET_SYMBOL,
        "threshold": alert.threshold,
        "value": alert.value,
        "event_time": alert.event_time,
        "message": alert.message,
        "detail": {"start": alert.start, "end": alert.end},
        "source": _source(MARKET_PARTITION, found_at // 1000),
    }


def market_record(snapshot: MarketSnapshot) -> dict[str, object]:
    """A market snapshot; `block` holds the very float32 numbers that the model sees."""
    return {
        "market_time": snapshot.second * 1000,
        "advancing": snapshot.advancing,
        "declining": snapshot.declining,
        "trades_60s": snapshot.trades,
        "turnover_60s": snapshot.turnover,
        "return_60s": snapshot.returns[0],
        "return_120s": snapshot.returns[1],
        "return_300s": snapshot.returns[2],
        "index_return": snapshot.index_return,
        "index_is_proxy": snapshot.index_is_proxy,
        "block": [float(value) for value in snapshot.block],
    }


def late_record(tick: Tick, watermark: int, partition: int, offset: int) -> dict[str, object]:
    """A tick that came after the watermark had passed its time."""
    return {
        "symbol": tick.symbol,
        "price": tick.price,
        "volume": tick.volume,
        "timestamp": tick.event_time,
        "trade_id": tick.trade_id,
        "buyer": tick.buyer,
        "seller": tick.seller,
        "event_time": tick.event_time,
        "watermark": watermark,
        "source": _source(partition, offset),
    }


def dead_letter_record(
    raw: bytes, raw_bytes: int, reason: str, topic: str, partition: int, offset: int, received_at: int
) -> dict[str, object]:
    """A message that is no valid tick; `raw` is cut, `raw_bytes` is the whole message's size."""
    return {
        "raw": base64.b64encode(raw).decode("ascii"),
        "raw_bytes": raw_bytes,
        "reason": reason,
        "topic": topic,
        "source": _source(partition, offset),
        "received_at": received_at,
    }


def to_json(record: dict[str, object]) -> str:
    """The record as a topic's value (NaN becomes null)."""
    return orjson.dumps(record).decode("utf-8")
