"""All that is remembered of one symbol, and the features that each of its trades gives.

A pure fold: :meth:`SymbolState.apply` takes trades in the order in which the log has them,
:meth:`SymbolState.advance` takes the watermark. Features depend on the trades alone, never on the watermark, so the
same log gives the same features wherever and whenever it is read; training and verification run this very code.
"""

from __future__ import annotations

from itertools import pairwise
from math import log, log1p, nan, sqrt
from operator import mul
from struct import Struct
from typing import TYPE_CHECKING, Any

from state.bars import Bar, BarBuilder
from state.features import OWN_COUNT
from state.indicators import Ema, Macd, Rsi
from state.outcomes import OutcomeBook, Realised
from state.symbol_alerts import Alert, SymbolAlerts
from state.window import PRICE_UNITS, SPANS_S, TickWindow

if TYPE_CHECKING:
    from state.rules import MarketRules, TradingCalendar, TradingDay

_MINUTE_MS = 60_000
_BURST_MS = 1_000
_MIN_RETURNS = 2
_MIN_VOLUMES = 5
_CARRY = 1.0 - 2.0 ** (-1.0 / 11.0)
_PACKED = Struct(f"<{OWN_COUNT}f")
_S60, _S300 = SPANS_S.index(60), SPANS_S.index(300)


class SymbolState:
    """One symbol's memory.

    Args:
        symbol: Its ticker.
        rules: The market's rules.
        calendar: Finds the trading day of a moment; may be shared between symbols.
    """

    def __init__(self, symbol: str, rules: MarketRules, calendar: TradingCalendar) -> None:
        self.symbol = symbol
        self._calendar = calendar
        self._grid = rules.price_grid
        self.clock = 0
        """Event time (ms) up to which all is settled: no trade at or before it may come, even if the stream's own
        watermark is behind it, as after a restart; 0: none."""
        self._day: TradingDay | None = None
        self.previous_close = 0
        self.window = TickWindow()
        self._bars = BarBuilder()
        self._outcomes = OutcomeBook()
        self._ema = Ema(12)
        self._rsi = Rsi(14)
        self._macd = Macd(12, 26, 9)
        self._alerts = SymbolAlerts(rules.alerts)
        self.seen: set[int] = set()
        self._start_session()

    def _start_session(self) -> None:
        self.window.clear()
        self.seen.clear()
        for indicator in (self._ema, self._rsi, self._macd):
            indicator.reset()
        self._alerts.reset()
        self._open = 0
        self._high = 0
        self._low = 0
        self._volume = 0
        self._turnover = 0
        self._trades = 0
        self._last_time = 0
        self._last_price = 0
        self._minute = 0
        self._carried = nan
        self._burst_volume = 0
        self._burst_reference = 0
        self._fine_grid = False

    def apply(  # noqa: PLR0915 - one pass over one trade, in the order of the columns
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
        day = self._calendar.day_of(time)
        if self._day is None or day.start > self._day.start:
            self._roll(day)
        price = round(price_rupees * PRICE_UNITS)
        if trade_key is not None:
            self.seen.add(trade_key)
        self._bars.add(time, price, volume, partition, offset)
        self._outcomes.add(time, price, partition, offset)
        window = self.window
        age = time - self._last_time
        first = not self._trades
        in_order = age >= 0
        previous_price = self._last_price if not first else price
        at = window.add(time, price, volume)

        self._trades += 1
        self._volume += volume
        self._turnover += price * volume
        if first:
            self._open = self._high = self._low = self._last_price = self._burst_reference = price
            self._minute = time // _MINUTE_MS
            age = 0
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        if not self._fine_grid and price % round(self._grid.coarse * PRICE_UNITS):
            self._fine_grid = True
        last_return = price / previous_price - 1.0
        if in_order:
            self._follow(time, price, volume, age, last_return, first=first)

        prices, volumes, signs, times = window.prices, window.volumes, window.signs, window.times
        length = len(prices)
        recent = prices[-20:]
        count = len(recent)
        volatility = _volatility(recent)
        starts, counts = window.starts, window.counts
        returns = [price / prices[start - 1] - 1.0 if start else nan for start in starts]
        volume_60, volume_300 = window.volume_sums[_S60], window.volume_sums[_S300]
        count_300 = counts[_S300]
        recent_signs = signs[-20:]
        flips = sum(map(_differs, recent_signs, recent_signs[1:]))
        as_float = float(price)
        macd = self._macd.peek_lines(as_float)
        ema = self._ema.peek(as_float)
        carried = self._carried
        z_score = _z_score(volumes[max(at - 20, 0) : at], volume)
        reference = self.previous_close
        day_return = price / reference - 1.0 if reference else nan
        grid = self._grid.fine if self._fine_grid else self._grid.coarse

        self._alerts.check(self, time, price, volume, volatility, z_score, day_return, partition, offset)
        return _PACKED.pack(
            log(volume),
            log(price * volume / PRICE_UNITS),
            log(self._burst_volume),
            price / self._burst_reference - 1.0,
            last_return,
            signs[at],
            flips / count,
            price * min(length, 5) / sum(prices[-5:]) - 1.0,
            price * count / sum(recent) - 1.0,
            price / ema - 1.0,
            self._rsi.peek(as_float),
            macd.macd / price,
            macd.signal / price,
            macd.histogram / price,
            volatility,
            carried,
            z_score,
            price * self._volume / self._turnover - 1.0,
            *returns,
            price * count_300 / window.price_sums[_S300] - 1.0,
            log1p(counts[_S60]),
            log1p(count_300),
            window.signed_sums[_S60] / volume_60,
            window.signed_sums[_S300] / volume_300,
            log1p(age / 1000.0) if in_order else 0.0,
            log1p((times[-1] - times[-count]) / 1000.0),
            log1p(self._trades),
            price / self._high - 1.0,
            price / self._low - 1.0,
            price / self._open - 1.0,
            day_return,
            day_return / day.band,
            (time - day.open) / _MINUTE_MS,
            grid * PRICE_UNITS / price,
        )

    def repeats(self, time: int, trade_key: int) -> bool:
        """Whether the session of this moment (ms) has had this trade; a new day may number its trades afresh."""
        return trade_key in self.seen and (self._day is None or time < self._day.end)

    def _follow(self, time: int, price: int, volume: int, age: int, last_return: float, *, first: bool) -> None:
        """Moves on what only goes forward in time: minute closes, the carried volatility, the burst."""
        minute = time // _MINUTE_MS
        if minute > self._minute:
            close = float(self._last_price)
            self._ema.update(close)
            self._rsi.update(close)
            self._macd.update(close)
            self._alerts.close_minute()
            self._minute = minute
        self._alerts.trade(price)
        if not first:
            size = abs(last_return)
            carried = self._carried
            self._carried = size if carried != carried else carried + _CARRY * (size - carried)  # noqa: PLR0124 - NaN
        if first or age >= _BURST_MS:
            self._burst_reference = self._last_price
            self._burst_volume = volume
        else:
            self._burst_volume += volume
        self._last_time = time
        self._last_price = price

    def _roll(self, day: TradingDay) -> None:
        """Ends the session: its last price becomes the previous close, the rest is forgotten."""
        if self._trades:
            self.previous_close = self._last_price
        self._start_session()
        self._day = day

    def advance(self, watermark: int) -> tuple[list[Bar], list[Realised]]:
        """Takes in that no trade at or before this moment (ms) is to come: what it completes comes back."""
        self.clock = max(self.clock, watermark)
        bars = self._bars.close(watermark)
        realised = self._outcomes.settle(watermark)
        if self._day is not None and self._trades and watermark >= self._session_end:
            self._roll(self._day)
        return bars, realised

    @property
    def _session_end(self) -> int:
        # From its local midnight on, every trade of a day is late: forgetting the session changes no feature.
        return self._day.end - 1 if self._day is not None else 0

    @property
    def next_due(self) -> int | None:
        """The watermark (ms) at which :meth:`advance` has something to do; None: nothing waits."""
        due = self._bars.next_due
        outcome = self._outcomes.next_due
        if outcome is not None and (due is None or outcome < due):
            due = outcome
        if due is None and self._trades:
            return self._session_end
        return due

    @property
    def last_due(self) -> int | None:
        """The watermark (ms) that settles all bars and outcomes; None where none waits."""
        dues = [due for due in (self._bars.last_due, self._outcomes.last_due) if due is not None]
        return max(dues, default=None)

    @property
    def waiting(self) -> set[tuple[int, int]]:
        """Partition and offset of each tick whose outcome is still to come."""
        return self._outcomes.positions

    @property
    def session(self) -> tuple[int, bool]:
        """Changes whenever the state rolls from one session to the next: the day's start, and if it has begun."""
        return (self._day.start if self._day is not None else -1, self._trades > 0)

    @property
    def band(self) -> float:
        """The price band in force, a fraction of the previous close."""
        return self._day.band if self._day is not None else nan

    @property
    def trades(self) -> int:
        """Trades of the session so far."""
        return self._trades

    def take_alerts(self) -> list[Alert]:
        """The alerts raised since the last call, in the order of the trades."""
        return self._alerts.take()

    def dump(self) -> list[Any]:
        """All it remembers, without the trade keys, for the state codec."""
        day = self._day
        return [
            day.start if day is not None else -1,
            self.clock,
            self.previous_close,
            self.window.dump(),
            self._bars.dump(),
            self._outcomes.dump(),
            [list(indicator.state()) for indicator in (self._ema, self._rsi, self._macd)],
            self._alerts.dump(),
            [
                self._open, self._high, self._low, self._volume, self._turnover, self._trades, self._last_time,
                self._last_price, self._minute, self._carried, self._burst_volume, self._burst_reference,
                self._fine_grid,
            ],
        ]  # fmt: skip

    def load(self, rows: list[Any]) -> None:
        """Takes up the rows of :meth:`dump`."""
        day_start, self.clock, self.previous_close, window, bars, outcomes, indicators, alerts, session = rows
        self._day = self._calendar.day_of(day_start) if day_start >= 0 else None
        self.window.load(window)
        self._bars.load(bars)
        self._outcomes.load(outcomes)
        for indicator, state in zip((self._ema, self._rsi, self._macd), indicators, strict=True):
            indicator.restore(tuple(state))
        self._alerts.load(alerts)
        (
            self._open, self._high, self._low, self._volume, self._turnover, self._trades, self._last_time,
            self._last_price, self._minute, self._carried, self._burst_volume, self._burst_reference,
            self._fine_grid,
        ) = session  # fmt: skip


def _differs(sign: int, following: int) -> bool:
    return sign != following


def _volatility(prices: list[int]) -> float:
    """Standard deviation (population form) of the returns between these prices; NaN below two returns."""
    count = len(prices) - 1
    if count < _MIN_RETURNS:
        return nan
    returns = [b / a - 1.0 for a, b in pairwise(prices)]
    mean = sum(returns) / count
    variance = sum(map(mul, returns, returns)) / count - mean * mean
    return sqrt(variance) if variance > 0.0 else 0.0


def _z_score(before: list[int], volume: int) -> float:
    """Standard deviations of a volume above the mean of those before it; NaN below five, or where all are equal."""
    count = len(before)
    if count < _MIN_VOLUMES:
        return nan
    total = sum(before)
    spread = count * sum(map(mul, before, before)) - total * total
    return (volume * count - total) / sqrt(spread) if spread > 0 else nan
