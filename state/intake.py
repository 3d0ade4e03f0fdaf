"""The gate that every message passes, in the job and in `tickcast verify`: a valid tick, or why it is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from state.tick import MAX_RAW_BYTES, BadTickError, TickParser

if TYPE_CHECKING:
    from state.rules import MarketRules
    from state.tick import Tick


@dataclass(frozen=True)
class TickTimes:
    """Bounds on the time of a tick, all in ms.

    Attributes:
        out_of_orderness: How far the message's own time may be from the record's, whose clock the watermark follows.
        max_ahead: How far a trade may be ahead of this machine's clock.
        earliest: The oldest believable trade time.
        close_after: After so long without any tick or watermark, what waits is settled.
    """

    out_of_orderness: int
    max_ahead: int
    earliest: int
    close_after: int


class Intake:
    """Parses and validates messages.

    Args:
        rules: The market's rules.
        times: Bounds on a tick's time.
    """

    def __init__(self, rules: MarketRules, times: TickTimes) -> None:
        self._parser = TickParser(rules.symbols.pattern, rules.limits.max_price, rules.limits.max_volume)
        self._times = times

    def admit(self, raw: bytes | None, size: int | None, key: str | None, record_time: int, now: int) -> Tick:
        """The tick that a message is.

        Args:
            raw: The message; of one that is longer than `MAX_RAW_BYTES` its head will do. None for a null message.
            size: Length of the whole message, bytes.
            key: The record's key; None where it has none.
            record_time: The record's event time, ms: the trade's time where the message has no valid one of its own.
            now: This machine's clock, ms.

        Raises:
            BadTickError: With a sentence that says what is wrong.
        """
        if size is not None and size > MAX_RAW_BYTES:
            raise BadTickError(f"the message of {size} bytes is longer than {MAX_RAW_BYTES}")
        tick = self._parser.parse(raw, record_time)
        if key is not None and tick.symbol != key:
            raise BadTickError(f"the record's key {key[:40]!r} is not its symbol {tick.symbol!r}")
        event_time, times = tick.event_time, self._times
        if event_time > now + times.max_ahead:
            raise BadTickError(
                f"the trade's time {event_time} is {event_time - now} ms ahead of the clock, "
                f"more than the {times.max_ahead} allowed (event_time.max_ahead_s)"
            )
        if event_time < times.earliest:
            raise BadTickError(f"the trade's time {event_time} lies before event_time.earliest ({times.earliest})")
        if abs(event_time - record_time) > times.out_of_orderness:
            raise BadTickError(
                f"the message's time {event_time} is {abs(event_time - record_time)} ms from its record's: "
                "set event_time.source=payload for producers whose record time is not the trade's"
            )
        return tick
