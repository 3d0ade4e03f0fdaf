"""Technical indicators, one value at a time.

All keep one contract, :class:`Indicator`. The definitions, seeding included, are TA-Lib's
(https://github.com/TA-Lib/ta-lib, `ta_EMA.c`, `ta_RSI.c`, `ta_MACD.c`). Everything here runs per
trade, hence plain floats in slots and no call that arithmetic can replace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isnan, nan
from typing import NamedTuple

_NO_MOVE = 1e-14
"""TA-Lib's `TA_EPSILON`: gains and losses that add up to less are taken for no move at all."""


class Indicator(ABC):
    """What every indicator offers."""

    __slots__ = ()

    @property
    @abstractmethod
    def value(self) -> float:
        """The indicator's value; NaN until enough values have come."""

    @property
    def initialized(self) -> bool:
        """Whether enough values have come for :attr:`value` to be a number."""
        return not isnan(self.value)

    @abstractmethod
    def update(self, value: float) -> None:
        """Takes the next finite value of the series."""

    @abstractmethod
    def peek(self, value: float) -> float:
        """What :attr:`value` would be after ``update(value)``; changes nothing."""

    @abstractmethod
    def reset(self) -> None:
        """Forgets all values."""

    @abstractmethod
    def state(self) -> tuple[float, ...]:
        """All it remembers, as numbers of a fixed count, for :meth:`restore`."""

    @abstractmethod
    def restore(self, state: tuple[float, ...]) -> None:
        """Takes up where an indicator with the same parameters stood when it gave this :meth:`state`."""


class Ema(Indicator):
    """Exponential moving average with weight 2 / (period + 1), seeded with the mean of the first `period` values.

    Args:
        period: Number of values, at least 1.
    """

    __slots__ = ("_missing", "_period", "_sum", "_weight", "value")

    value: float
    _missing: int
    _sum: float

    def __init__(self, period: int) -> None:
        if period < 1:
            raise ValueError(f"an EMA needs a period of at least 1, not {period}")
        self._period = period
        self._weight = 2.0 / (period + 1)
        self.reset()

    def update(self, value: float) -> None:
        """Takes the next value."""
        if self._missing:
            self._missing -= 1
            self._sum += value
            if not self._missing:
                self.value = self._sum / self._period
        else:
            self.value += (value - self.value) * self._weight

    def peek(self, value: float) -> float:
        """The average with one more value."""
        if self._missing > 1:
            return nan
        if self._missing:
            return (self._sum + value) / self._period
        return self.value + (value - self.value) * self._weight

    def reset(self) -> None:
        """Forgets all values."""
        self.value = nan
        self._missing = self._period
        self._sum = 0.0

    def state(self) -> tuple[float, ...]:
        """Value, how many values are missing for the seed, and the seed's sum."""
        return self.value, float(self._missing), self._sum

    def restore(self, state: tuple[float, ...]) -> None:
        """Takes up a state."""
        self.value, missing, self._sum = state
        self._missing = int(missing)


class Rsi(Indicator):
    """Wilder's relative strength index, 0 to 100.

    As in TA-Lib, a series that never moved has 0, not 50.

    Args:
        period: Number of changes that are smoothed, at least 2.
    """

    __slots__ = ("_gain", "_last", "_loss", "_missing", "_period", "value")

    value: float
    _last: float
    _gain: float
    _loss: float
    _missing: int

    def __init__(self, period: int = 14) -> None:
        if period < 2:  # noqa: PLR2004 - TA-Lib's own lower limit
            raise ValueError(f"an RSI needs a period of at least 2, not {period}")
        self._period = period
        self.reset()

    def update(self, value: float) -> None:
        """Takes the next value."""
        change = value - self._last
        self._last = value
        missing = self._missing
        period = self._period
        if not missing:
            # Wilder's smoothing: the average moves by 1 / period towards the newest change.
            if change > 0.0:
                self._gain = gain = (self._gain * (period - 1) + change) / period
                self._loss = loss = self._loss * (period - 1) / period
            else:
                self._gain = gain = self._gain * (period - 1) / period
                self._loss = loss = (self._loss * (period - 1) - change) / period
            self.value = _strength(gain, loss)
            return
        self._missing = missing - 1
        if missing > period:  # the very first value has no change
            return
        if change > 0.0:
            self._gain += change
        else:
            self._loss -= change
        if missing == 1:
            self._gain /= period
            self._loss /= period
            self.value = _strength(self._gain, self._loss)

    def peek(self, value: float) -> float:
        """The index with one more value."""
        missing = self._missing
        if missing > 1:
            return nan
        change = value - self._last
        # Gain and loss are still sums before the seed; their ratio is that of the averages.
        decay = 1 if missing else self._period - 1
        gain = self._gain * decay
        loss = self._loss * decay
        if change > 0.0:
            gain += change
        else:
            loss -= change
        return _strength(gain / self._period, loss / self._period)

    def reset(self) -> None:
        """Forgets all values."""
        self.value = nan
        self._last = nan
        self._gain = 0.0
        self._loss = 0.0
        self._missing = self._period + 1

    def state(self) -> tuple[float, ...]:
        """Value, last value of the series, average gain and loss (sums before the seed), values missing."""
        return self.value, self._last, self._gain, self._loss, float(self._missing)

    def restore(self, state: tuple[float, ...]) -> None:
        """Takes up a state."""
        self.value, self._last, self._gain, self._loss, missing = state
        self._missing = int(missing)


def _strength(gain: float, loss: float) -> float:
    total = gain + loss
    return 100.0 * (gain / total) if total >= _NO_MOVE else 0.0


class MacdLines(NamedTuple):
    """The three lines of the MACD, in the unit of the series."""

    macd: float
    signal: float
    histogram: float


_NO_LINES = MacdLines(nan, nan, nan)


class Macd(Indicator):
    """Moving average convergence/divergence: fast EMA - slow EMA, its own EMA as signal, and their difference.

    `value` is the MACD line. As in TA-Lib all three lines begin together, when the signal does, and
    the fast average is seeded so that it begins together with the slow one.

    Args:
        fast: Period of the fast average, at least 1.
        slow: Period of the slow average, above `fast`.
        signal: Period of the signal line, at least 1.

    Attributes:
        signal: The signal line; NaN until initialised.
        histogram: MACD - signal; NaN until initialised.
    """

    __slots__ = ("_fast", "_signal", "_skip", "_skipped", "_slow", "histogram", "signal", "value")

    value: float
    signal: float
    histogram: float
    _skipped: int

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        if fast >= slow:
            raise ValueError(f"a MACD's fast period must be below its slow one, not {fast} and {slow}")
        self._fast = Ema(fast)
        self._slow = Ema(slow)
        self._signal = Ema(signal)
        self._skip = slow - fast
        self.reset()

    def update(self, value: float) -> None:
        """Takes the next value."""
        self._slow.update(value)
        if self._skipped < self._skip:
            self._skipped += 1
            return
        self._fast.update(value)
        macd = self._fast.value - self._slow.value
        if isnan(macd):
            return
        self._signal.update(macd)
        signal = self._signal.value
        if isnan(signal):
            return
        self.value = macd
        self.signal = signal
        self.histogram = macd - signal

    def peek(self, value: float) -> float:
        """The MACD line with one more value."""
        return self.peek_lines(value).macd

    def peek_lines(self, value: float) -> MacdLines:
        """All three lines with one more value."""
        macd = self._fast.peek(value) - self._slow.peek(value)
        signal = self._signal.peek(macd)
        if isnan(signal):
            return _NO_LINES
        return MacdLines(macd, signal, macd - signal)

    def reset(self) -> None:
        """Forgets all values."""
        self.value = self.signal = self.histogram = nan
        self._skipped = 0
        self._fast.reset()
        self._slow.reset()
        self._signal.reset()

    def state(self) -> tuple[float, ...]:
        """The three lines, how many values the fast average has skipped, and the three averages' states."""
        return (
            self.value,
            self.signal,
            self.histogram,
            float(self._skipped),
            *self._fast.state(),
            *self._slow.state(),
            *self._signal.state(),
        )

    def restore(self, state: tuple[float, ...]) -> None:
        """Takes up a state."""
        self.value, self.signal, self.histogram, skipped = state[:4]
        self._skipped = int(skipped)
        self._fast.restore(state[4:7])
        self._slow.restore(state[7:10])
        self._signal.restore(state[10:])
