"""All that is remembered of one symbol, and the features that each of its trades gives.

A pure fold: :meth:`SymbolState.apply` takes trades in the order in which the log has them,
:meth:`SymbolState.advance` takes the watermark. Features depend on the trades alone, never on the watermark, so the
same log gives the same features wherever and whenever it is read; training and verification run this very code.

The arithmetic is :mod:`state.symbol_kernel`'s; here stands what surrounds it: days, bars, outcomes, alerts.
"""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from state import memory as at
from state.bars import Bar, BarBuilder
from state.features import OWN_COUNT
from state.outcomes import OutcomeBook, Realised
from state.symbol_alerts import Alert, SymbolAlerts
from state.window import PRICE_UNITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from state.rules import MarketRules, TradingCalendar, TradingDay

_OUT = slice(2 * at.OUT, 2 * at.OUT + OWN_COUNT)


class SymbolState:
    """One symbol's memory.

    Args:
        symbol: Its ticker.
        rules: The market's rules.
        calendar: Finds the trading day of a moment; may be shared between symbols.
    """

    def __init__(self, symbol: str, rules: MarketRules, calendar: TradingCalendar) -> None:
        # Here and not above: they bring the compiler, which who only looks can do without.
        from state import symbol_kernel, symbol_memory  # noqa: PLC0415

        self._forget = symbol_kernel.start_session
        self._take_trade = symbol_kernel.take_trade
        self._memories = symbol_memory
        self.symbol = symbol
        self._calendar = calendar
        self._rules = rules
        self.clock = 0
        """Event time (ms) up to which all is settled: no trade at or before it may come, even if the stream's own
        watermark is behind it, as after a restart; 0: none."""
        self._day: TradingDay | None = None
        self._day_end = -1
        self._bars = BarBuilder()
        self._outcomes = OutcomeBook()
        self._alerts = SymbolAlerts(symbol, rules.alerts)
        self.seen: set[int] = set()
        self.trades = 0
        """Trades of the session so far."""
        self._use(symbol_memory.new_memory(rules, symbol_memory.FIRST_ROOM))
        self._start_session()

    def _use(self, memory: NDArray[np.int64]) -> None:
        self._memory = memory
        self._features = memory.view(np.float32)[_OUT]

    def _start_session(self) -> None:
        self._forget(self._memory)
        self.seen.clear()
        self.trades = 0

    def apply(
        self, time: int, price_rupees: float, volume: int, trade_key: int | None, partition: int, offset: int
    ) -> bytes:
        """Takes in a valid trade that is neither late nor a duplicate.

        Args:
            time: Event time, ms since the epoch.
            price_rupees: Price of one share.
            volume: Shares.
            trade_key: :func:`trade_key` of its trade id; None where it has none.
            partition: Kafka partition of the tick.
            offset: Its offset.

        Returns:
            The symbol's own features of this trade, float32, in the order of `OWN_FEATURES`. Alerts it raised wait
            in :meth:`take_alerts`.
        """
        if time >= self._day_end:
            self._roll(self._calendar.day_of(time))
        price = round(price_rupees * PRICE_UNITS)
        if trade_key is not None:
            self.seen.add(trade_key)
        self._bars.add(time, price, volume, partition, offset)
        self._outcomes.add(time, price, partition, offset)
        self.trades += 1
        set_off = self._take_trade(self._memory, time, price_rupees, volume)
        if set_off:
            if set_off & at.IS_FULL:
                self._use(self._memories.larger_memory(self._memory, self._rules))
            self._alerts.raise_alerts(set_off, self._memory, time, volume, partition, offset)
        return self._features.tobytes()

    def repeats(self, time: int, trade_key: int) -> bool:
        """Whether the session of this moment (ms) has had this trade; a new day may number its trades afresh."""
        return trade_key in self.seen and (self._day is None or time < self._day.end)

    def _roll(self, day: TradingDay) -> None:
        """Ends the session: its last price becomes the previous close, the rest is forgotten."""
        if self.trades:
            self._memory[at.PREVIOUS_CLOSE] = self._memory[at.LAST_PRICE]
        self._start_session()
        self._set_day(day)

    def _set_day(self, day: TradingDay) -> None:
        self._day = day
        self._day_end = day.end
        self._memory[at.DAY_OPEN] = day.open
        self._memory.view(np.float64)[at.BAND] = day.band

    def advance(self, watermark: int) -> tuple[list[Bar], list[Realised]]:
        """Takes in that no trade at or before this moment (ms) is to come: what it completes comes back."""
        self.clock = max(self.clock, watermark)
        bars = self._bars.close(watermark)
        realised = self._outcomes.settle(watermark)
        if self._day is not None and self.trades and watermark >= self._session_end:
            self._roll(self._day)
        return bars, realised

    @property
    def _session_end(self) -> int:
        # From its local midnight on, every trade of a day is late: forgetting the session changes no feature.
        return self._day_end - 1

    @property
    def next_due(self) -> int | None:
        """The watermark (ms) at which :meth:`advance` has something to do; None: nothing waits."""
        due = self._bars.next_due
        outcome = self._outcomes.next_due
        if outcome is not None and (due is None or outcome < due):
            due = outcome
        if due is None and self.trades:
            return self._session_end
        return due

    @property
    def last_due(self) -> int | None:
        """The watermark (ms) that settles all bars and outcomes; None where none waits."""
        dues = [due for due in (self._bars.last_due, self._outcomes.last_due) if due is not None]
        return max(dues, default=None)

    @property
    def last_outcome_due(self) -> int | None:
        """The watermark (ms) that settles all outcomes; None where none waits."""
        return self._outcomes.last_due

    def due_of(self, count: int) -> int | None:
        """The watermark (ms) that settles so many outcomes; None where fewer wait."""
        return self._outcomes.due_of(count)

    @property
    def waiting(self) -> set[tuple[int, int]]:
        """Partition and offset of each tick whose outcome is still to come."""
        return self._outcomes.positions

    @property
    def session(self) -> tuple[int, bool]:
        """Changes whenever the state rolls from one session to the next: the day's start, and if it has begun."""
        return (self._day.start if self._day is not None else -1, self.trades > 0)

    @property
    def band(self) -> float:
        """The price band in force, a fraction of the previous close."""
        return self._day.band if self._day is not None else nan

    @property
    def previous_close(self) -> int:
        """Last price of the session before, in units of 1/10,000 rupee; 0: unknown."""
        return int(self._memory[at.PREVIOUS_CLOSE])

    @previous_close.setter
    def previous_close(self, price: int) -> None:
        self._memory[at.PREVIOUS_CLOSE] = price

    @property
    def window_length(self) -> int:
        """Trades that the window holds."""
        return int(self._memory[at.TAIL] - self._memory[at.HEAD])

    def take_alerts(self) -> list[Alert]:
        """The alerts raised since the last call, in the order of the trades."""
        return self._alerts.take()

    def dump(self) -> list[Any]:
        """All it remembers, without the trade keys, for the state codec."""
        return [
            self._day.start if self._day is not None else -1,
            self.clock,
            self._memories.pack(self._memory),
            self._bars.dump(),
            self._outcomes.dump(),
        ]

    def load(self, rows: list[Any]) -> None:
        """Takes up the rows of :meth:`dump`."""
        day_start, self.clock, memory, bars, outcomes = rows
        self._use(self._memories.unpack(memory, self._rules))
        self.trades = int(self._memory[at.TRADES])
        if day_start >= 0:
            self._set_day(self._calendar.day_of(day_start))
        self._bars.load(bars)
        self._outcomes.load(outcomes)
