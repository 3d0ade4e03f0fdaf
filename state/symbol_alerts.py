"""Alerts that one symbol's trades raise: price band, breakout, volatility and volume spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from state.window import PRICE_UNITS

if TYPE_CHECKING:
    from state.rules import AlertRules
    from state.symbol_state import SymbolState

_RECENT_TICKS = 20
"""Trades whose moves are held against those before them."""

_BAND_TOUCH = 0.995
"""A price this near the band (as a fraction of it) is at the band: the grid rarely has the exact price."""


class Alert(NamedTuple):
    """One alert.

    Attributes:
        rule: Its name in the contract (`price_band`, `breakout`, …).
        event_time: Of the trade that raised it, ms.
        threshold, value: What was passed, and by what; in the rule's own unit.
        message: A sentence for a person.
        partition, offset: Kafka position of that trade.
    """

    rule: str
    event_time: int
    threshold: float
    value: float
    message: str
    partition: int
    offset: int


class SymbolAlerts:
    """Watches one symbol; each rule rests for its cooldown after it has spoken, the band until the price leaves it."""

    __slots__ = (
        "_band_side", "_highs", "_lows", "_minute_high", "_minute_low", "_past_move_sum", "_past_moves", "_quiet_until",
        "_raised", "_rules",
    )  # fmt: skip

    def __init__(self, rules: AlertRules) -> None:
        self._rules = rules
        self._raised: list[Alert] = []
        self.reset()

    def reset(self) -> None:
        """Forgets the session."""
        self._band_side = 0
        self._highs: list[int] = []
        self._lows: list[int] = []
        self._minute_high = 0
        self._minute_low = 0
        self._past_moves = 0
        self._past_move_sum = 0.0
        self._quiet_until = {"breakout": 0, "volatility_spike": 0, "volume_spike": 0}

    def trade(self, price: int) -> None:
        """Takes a trade's price (units of 1/10,000 rupee) into the minute that is open."""
        if not self._minute_low or price < self._minute_low:
            self._minute_low = price
        self._minute_high = max(self._minute_high, price)

    def close_minute(self) -> None:
        """Closes the minute: its high and low join the range a breakout must leave."""
        self._highs.append(self._minute_high)
        self._lows.append(self._minute_low)
        keep = self._rules.breakout.minutes
        if len(self._highs) > keep:
            del self._highs[0], self._lows[0]
        self._minute_high = self._minute_low = 0

    def check(
        self,
        state: SymbolState,
        time: int,
        price: int,
        volume: int,
        volatility: float,
        z_score: float,
        day_return: float,
        partition: int,
        offset: int,
    ) -> None:
        """Looks at a trade after the state has taken it in; what it raises waits in :meth:`take`."""
        rules = self._rules
        band = state.band
        side = 0
        if abs(day_return) >= band * _BAND_TOUCH:  # False for NaN: no previous close, no band
            side = 1 if day_return > 0 else -1
        if side and side != self._band_side:
            text = f"{state.symbol} is at its {'upper' if side > 0 else 'lower'} price band: {day_return:+.2%}"
            self._raise("price_band", time, side * band, day_return, text, partition, offset)
        self._band_side = side

        if len(self._highs) == rules.breakout.minutes and time >= self._quiet_until["breakout"]:
            high, low = max(self._highs), min(self._lows)
            if price > high or price < low:
                edge = high if price > high else low
                text = (
                    f"{state.symbol} at {price / PRICE_UNITS:g} left the range of {rules.breakout.minutes} minutes, "
                    f"{low / PRICE_UNITS:g} to {high / PRICE_UNITS:g}"
                )
                self._raise("breakout", time, edge / PRICE_UNITS, price / PRICE_UNITS, text, partition, offset)
                self._quiet_until["breakout"] = time + int(rules.breakout.cooldown_s * 1000)

        spike = rules.volatility_spike
        usual = self._usual_move(state.window.prices)
        is_spike = state.trades >= spike.min_ticks and volatility > spike.ratio * usual > 0.0
        if is_spike and time >= self._quiet_until["volatility_spike"]:
            text = f"{state.symbol} moves {volatility / usual:.1f} times as much as usual"
            self._raise("volatility_spike", time, spike.ratio, volatility / usual, text, partition, offset)
            self._quiet_until["volatility_spike"] = time + int(spike.cooldown_s * 1000)

        burst = rules.volume_spike
        is_burst = z_score >= burst.z_score and state.trades >= burst.min_ticks
        if is_burst and time >= self._quiet_until["volume_spike"]:
            text = f"{state.symbol} traded {volume:,} shares at once, {z_score:.1f} deviations above the usual"
            self._raise("volume_spike", time, burst.z_score, z_score, text, partition, offset)
            self._quiet_until["volume_spike"] = time + int(burst.cooldown_s * 1000)

    def _usual_move(self, prices: list[int]) -> float:
        """Mean absolute return of the session up to the recent trades; the move that has just left those joins it."""
        if len(prices) > _RECENT_TICKS:
            self._past_moves += 1
            self._past_move_sum += abs(prices[-_RECENT_TICKS] / prices[-_RECENT_TICKS - 1] - 1.0)
        return self._past_move_sum / self._past_moves if self._past_moves else 0.0

    def _raise(
        self, rule: str, time: int, threshold: float, value: float, message: str, partition: int, offset: int
    ) -> None:
        self._raised.append(Alert(rule, time, threshold, value, message, partition, offset))

    def take(self) -> list[Alert]:
        """The alerts raised since the last call."""
        raised = self._raised
        if raised:
            self._raised = []
        return raised

    def dump(self) -> list[Any]:
        """All it remembers, for the state codec."""
        return [
            self._band_side, self._highs, self._lows, self._minute_high, self._minute_low, self._past_moves,
            self._past_move_sum, self._quiet_until,
        ]  # fmt: skip

    def load(self, rows: list[Any]) -> None:
        """Takes up the rows of :meth:`dump`."""
        (
            self._band_side, self._highs, self._lows, self._minute_high, self._minute_low, self._past_moves,
            self._past_move_sum, self._quiet_until,
        ) = rows  # fmt: skip
