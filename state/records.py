"""The JSON objects of the result topics: one place for their fields, used by the job and by `tickcast verify`."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, TypeAlias

import orjson

from state.tally import PROBABILITY_FLOOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from state.bars import Bar
    from state.market_alerts import MarketAlert
    from state.market_state import MarketSnapshot
    from state.quality_watch import Drift, Score
    from state.requests import Subject
    from state.symbol_alerts import Alert
    from state.tick import Tick

MARKET_PARTITION = -1
"""Stands where a market-wide alert would name its tick's partition; its offset is then the epoch second in which it
was found: a halt that the index announced and the same halt found by its length are two alerts of two seconds. Of a
drift it is the moment in ms plus the alert's number among those of the moment."""

MARKET_SYMBOL = "*MARKET*"

DRIFT_RULES = ("drift", "drift_cleared")
"""Rules of the alerts about drift: it began, it ceased."""


def _source(partition: int, offset: int) -> dict[str, int]:
    return {"partition": partition, "offset": offset}


def prediction_record(
    subject: Subject,
    chances: Sequence[float],
    market_time: int | None,
    version: str,
    role: str,
    feature_schema: str,
    produced_at: int,
    conflated: Sequence[tuple[int, int]] = (),
) -> dict[str, object]:
    """A prediction's message.

    Args:
        subject: Its tick.
        chances: Probabilities of up, flat and down, float32.
        market_time: Time of the market snapshot that was used, ms; None: it went without.
        version: The model version that scored.
        role: `active` or `shadow`.
        feature_schema: Hash of the features' definitions.
        produced_at: The machine's clock, ms.
        conflated: Positions of the ticks that are not scored because this newer one was waiting.
    """
    up, flat, down = chances
    record: dict[str, object] = {
        "symbol": subject.symbol,
        "event_time": subject.event_time,
        "trade_id": subject.trade_id,
        "price": subject.price,
        "p_up": up,
        "p_flat": flat,
        "p_down": down,
        "direction": _likeliest(up, flat, down),
        "model_version": version,
        "role": role,
        "feature_schema": feature_schema,
        "market_time": market_time,
        "source": _source(subject.partition, subject.offset),
        "sequence": subject.sequence,
        "produced_at": produced_at,
    }
    if conflated:
        record["conflated"] = [_source(*position) for position in conflated]
    return record


def outcome_record(
    subject: Subject, chances: Sequence[float], outcome: tuple[int, str, float], version: str, role: str
) -> dict[str, object]:
    """What became of a prediction.

    Args:
        subject: Its tick.
        chances: Probabilities of up, flat and down, float32.
        outcome: Due time (ms), realised direction and realised price (rupees).
        version: The model version that scored.
        role: `active` or `shadow`.
    """
    due_time, realised, realised_price = outcome
    up, flat, down = chances
    direction = _likeliest(up, flat, down)
    wide = {"up": float(up), "flat": float(flat), "down": float(down)}
    return {
        "symbol": subject.symbol,
        "event_time": subject.event_time,
        "due_time": due_time,
        "price": subject.price,
        "realised": realised,
        "realised_price": realised_price,
        "return_bps": (realised_price / subject.price - 1.0) * 10_000.0,
        "p_up": up,
        "p_flat": flat,
        "p_down": down,
        "direction": direction,
        "correct": direction == realised,
        "log_loss": -math.log(max(wide[realised], PROBABILITY_FLOOR)),
        "brier": sum((chance - (name == realised)) ** 2 for name, chance in wide.items()),
        "model_version": version,
        "role": role,
        "source": _source(subject.partition, subject.offset),
    }


def _likeliest(up: float, flat: float, down: float) -> str:
    """Of equal chances the first one."""
    if up >= flat:
        return "up" if up >= down else "down"
    return "flat" if flat >= down else "down"


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


def model_refused_record(command: str, reason: str, now: int) -> dict[str, object]:
    """An alert about a command to the models that was not obeyed."""
    return {
        "rule": "model_refused",
        "symbol": MARKET_SYMBOL,
        "threshold": None,
        "value": None,
        "event_time": now,
        "message": f"the model stays as it is: {reason}",
        "detail": {"command": command[:1000]},
        "source": _source(MARKET_PARTITION, now),
    }


def drift_record(drift: Drift) -> dict[str, object]:
    """An alert about what a model version sees or says: it began or ceased to be distributed as in training."""
    event = drift.event
    told = "drifts from" if event.raised else "is again as in"
    return {
        "rule": DRIFT_RULES[0] if event.raised else DRIFT_RULES[1],
        "symbol": MARKET_SYMBOL,
        "threshold": event.threshold,
        "value": event.psi,
        "event_time": drift.event_time,
        "message": f"{event.feature} {told} the training of {drift.version}: stability index {event.psi:.3f}",
        "detail": {"model_version": drift.version, "feature": event.feature},
        "source": _source(MARKET_PARTITION, drift.event_time + drift.number),
    }


def score_record(score: Score, produced_at: int) -> dict[str, object]:
    """A model version's measures over a window, under the names of `tickcast evaluate`.

    Args:
        score: The measures.
        produced_at: The machine's clock, ms.
    """
    return {
        "model_version": score.version,
        "role": score.role,
        "window_start": score.window_start,
        "window_end": score.window_end,
        **score.measures,
        "produced_at": produced_at,
    }


def market_record(snapshot: MarketSnapshot, versions: tuple[str, ...]) -> dict[str, object]:
    """A market snapshot; `block` holds the very float32 numbers that the model sees.

    Args:
        snapshot: The snapshot.
        versions: The model versions that score the ticks which see it: the active one, then the shadow, if any.
    """
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
        "model_versions": versions,
        "block": snapshot.block,
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


KeyedJson: TypeAlias = tuple[bytes, bytes]
"""A finished message: key and value."""


def to_json(record: dict[str, object]) -> bytes:
    """The record as a topic's value (NaN becomes null)."""
    return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY)


def keyed_json(key: str, record: dict[str, object]) -> KeyedJson:
    """The record as a topic's message."""
    return key.encode(), to_json(record)
