"""Which snapshots are due: one for each second of event time, complete where the log allows it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from state.market_state import MarketSnapshot, MarketState, parse_second

if TYPE_CHECKING:
    from state.market_alerts import MarketAlert
    from state.rules import MarketRules, TradingCalendar

_HEAD = struct.Struct("<q")


class MarketFold:
    """Turns finished seconds, which may have silent ones between them, into a gapless run of snapshots a day.

    Args:
        rules: The market's rules.
        calendar: Finds the trading day of a moment.
        lead_s: A day's snapshots begin so many seconds before the first one taken or given.
    """

    def __init__(self, rules: MarketRules, calendar: TradingCalendar, lead_s: int) -> None:
        self._state = MarketState(rules, calendar)
        groups = rules.trade_groups
        self._group_digits = slice(groups.from_digit, groups.to_digit)
        self._lead_s = lead_s
        self.emitted = 0
        """The newest second that has its snapshot."""

    @property
    def symbols(self) -> list[str]:
        """Every symbol that has traded today."""
        return self._state.symbols

    def take(self, second: int, text: str) -> list[MarketSnapshot]:
        """A finished second: the snapshots up to and including it.

        A second that was already given away joins the present one, and has no snapshot of its own.
        """
        snapshots = self._run_up_to(second - 1)
        rows = parse_second(text, self._group_digits)
        self._state.add(second, rows)
        if second > self.emitted:
            snapshots.append(self._state.snapshot())
            self.emitted = second
        return snapshots

    def give(self, second: int) -> list[MarketSnapshot]:
        """The snapshots up to a second that has passed; those without a trade among them are silent ones."""
        return self._run_up_to(second)

    def silence(self, second: int) -> None:
        """Takes in that the market is silent up to this second by the clock on the wall, too."""
        self._state.silence(second)

    def _run_up_to(self, second: int) -> list[MarketSnapshot]:
        if second <= self.emitted:
            return []
        first = self.emitted + 1
        if self._state.is_new_day(second):
            first = max(first, second - self._lead_s)
        snapshots = []
        for each in range(first, second + 1):
            self._state.begin(each)
            snapshots.append(self._state.snapshot())
        self.emitted = second
        return snapshots

    def take_alerts(self) -> list[MarketAlert]:
        """The alerts raised since the last call."""
        return self._state.take_alerts()

    def dump(self) -> bytes:
        """All it remembers."""
        return _HEAD.pack(self.emitted) + self._state.dump()

    def load(self, data: bytes) -> None:
        """Takes up what :meth:`dump` gave."""
        (self.emitted,) = _HEAD.unpack_from(data)
        self._state.load(data[_HEAD.size :])
