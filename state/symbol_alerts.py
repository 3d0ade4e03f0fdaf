"""Alerts that one symbol's trades raise: price band, breakout, volatility and volume spikes.

Whether a rule speaks is found by :mod:`state.symbol_kernel`, trade by trade; here it is put into words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state import memory as at
from state.window import PRICE_UNITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from state.rules import AlertRules


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
    """Words for what one symbol's trades have set off.

    Args:
        symbol: The symbol's ticker.
        rules: The market's rules for alerts.
    """

    __slots__ = ("_raised", "_rules", "_symbol")

    def __init__(self, symbol: str, rules: AlertRules) -> None:
        self._symbol = symbol
        self._rules = rules
        self._raised: list[Alert] = []

    def raise_alerts(
        self, set_off: int, memory: NDArray[np.int64], time: int, volume: int, partition: int, offset: int
    ) -> None:
        """Puts an alert in words for each rule that a trade has set off; they wait in :meth:`take`.

        Args:
            set_off: Sum of the rules' numbers, see :mod:`state.memory`.
            memory: The symbol's, right after the trade.
            time: Of the trade, ms.
            volume: Its shares.
            partition: Its Kafka partition.
            offset: Its offset.
        """
        floats = memory.view(np.float64)
        if set_off & at.AT_BAND:
            side, band, day_return = int(memory[at.BAND_SIDE]), float(floats[at.BAND]), float(floats[at.DAY_RETURN])
            text = f"{self._symbol} is at its {'upper' if side > 0 else 'lower'} price band: {day_return:+.2%}"
            self._raised.append(Alert("price_band", time, side * band, day_return, text, partition, offset))
        if set_off & at.BROKE_OUT:
            price, high, low = (int(memory[word]) / PRICE_UNITS for word in (at.PRICE, at.RANGE_HIGH, at.RANGE_LOW))
            text = (
                f"{self._symbol} at {price:g} left the range of {self._rules.breakout.minutes} minutes, "
                f"{low:g} to {high:g}"
            )
            edge = high if price > high else low
            self._raised.append(Alert("breakout", time, edge, price, text, partition, offset))
        if set_off & at.VOLATILITY_SPIKE:
            times_usual = float(floats[at.VOLATILITY] / floats[at.USUAL])
            text = f"{self._symbol} moves {times_usual:.1f} times as much as usual"
            ratio = self._rules.volatility_spike.ratio
            self._raised.append(Alert("volatility_spike", time, ratio, times_usual, text, partition, offset))
        if set_off & at.VOLUME_SPIKE:
            z_score = float(floats[at.Z_SCORE])
            text = f"{self._symbol} traded {volume:,} shares at once, {z_score:.1f} deviations above the usual"
            self._raised.append(
                Alert("volume_spike", time, self._rules.volume_spike.z_score, z_score, text, partition, offset)
            )

    def take(self) -> list[Alert]:
        """The alerts raised since the last call."""
        raised = self._raised
        if raised:
            self._raised = []
        return raised
