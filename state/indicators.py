"""Technical indicators, one value at a time.

The definitions, seeding included, are TA-Lib's (https://github.com/TA-Lib/ta-lib, `ta_EMA.c`, `ta_RSI.c`,
`ta_MACD.c`). The arithmetic is compiled and works on the words of a memory that holds many of them; the classes, of
one contract (:class:`Indicator`), give each indicator a memory of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isnan, nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_NO_MOVE = 1e-14
"""TA-Lib's `TA_EPSILON`: gains and losses that add up to less are taken for no move at all."""

EMA_WORDS = 3
"""Words of an EMA: its value, how many values are missing for the seed, the seed's sum."""

RSI_WORDS = 5
"""Words of an RSI: its value, the series' last value, average gain and loss (sums before the seed), values missing."""

MACD_WORDS = 4 + 3 * EMA_WORDS
"""Words of a MACD: its three lines, how many values the fast average has skipped, and the three averages' words."""

_FAST, _SLOW, _SIGNAL = 4, 4 + EMA_WORDS, 4 + 2 * EMA_WORDS


@compiled
def ema_reset(words: Floats, at: int, period: int) -> None:
    """Forgets all values of the EMA whose words begin at a place."""
    words[at] = nan
    words[at + 1] = period
    words[at + 2] = 0.0


@compiled
def ema_update(words: Floats, at: int, period: int, value: float) -> None:
    """Takes the next value of the series into an EMA."""
    missing = words[at + 1]
    if missing > 0.0:
        words[at + 1] = missing - 1.0
        words[at + 2] += value
        if missing == 1.0:
            words[at] = words[at + 2] / period
    else:
        words[at] += (value - words[at]) * (2.0 / (period + 1))


@compiled
def ema_peek(words: Floats, at: int, period: int, value: float) -> float:
    """The average with one more value."""
    missing = words[at + 1]
    if missing > 1.0:
        return nan
    if missing > 0.0:
        return float((words[at + 2] + value) / period)
    return float(words[at] + (value - words[at]) * (2.0 / (period + 1)))


@compiled
def _strength(gain: float, loss: float) -> float:
    total = gain + loss
    return 100.0 * (gain / total) if total >= _NO_MOVE else 0.0


@compiled
def rsi_reset(words: Floats, at: int, period: int) -> None:
    """Forgets all values of the RSI whose words begin at a place."""
    words[at] = words[at + 1] = nan
    words[at + 2] = words[at + 3] = 0.0
    words[at + 4] = period + 1


@compiled
def rsi_update(words: Floats, at: int, period: int, value: float) -> None:
    """Takes the next value of the series into an RSI."""
    change = value - words[at + 1]
    words[at + 1] = value
    missing = words[at + 4]
    if missing == 0.0:
        # Wilder's smoothing: the average moves by 1 / period towards the newest change.
        gain, loss = words[at + 2] * (period - 1), words[at + 3] * (period - 1)
        if change > 0.0:
            gain += change
        else:
            loss -= change
        words[at + 2], words[at + 3] = gain / period, loss / period
        words[at] = _strength(words[at + 2], words[at + 3])
        return
    words[at + 4] = missing - 1.0
    if missing > period:  # the very first value has no change
        return
    if change > 0.0:
        words[at + 2] += change
    else:
        words[at + 3] -= change
    if missing == 1.0:
        words[at + 2] /= period
        words[at + 3] /= period
        words[at] = _strength(words[at + 2], words[at + 3])


@compiled
def rsi_peek(words: Floats, at: int, period: int, value: float) -> float:
    """The index with one more value."""
    missing = words[at + 4]
    if missing > 1.0:
        return nan
    change = value - words[at + 1]
    # Gain and loss are still sums before the seed; their ratio is that of the averages.
    decay = 1 if missing > 0.0 else period - 1
    gain, loss = words[at + 2] * decay, words[at + 3] * decay
    if change > 0.0:
        gain += change
    else:
        loss -= change
    return _strength(gain / period, loss / period)


@compiled
def macd_reset(words: Floats, at: int, fast: int, slow: int, signal: int) -> None:
    """Forgets all values of the MACD whose words begin at a place."""
    words[at] = words[at + 1] = words[at + 2] = nan
    words[at + 3] = 0.0
    ema_reset(words, at + _FAST, fast)
    ema_reset(words, at + _SLOW, slow)
    ema_reset(words, at + _SIGNAL, signal)


@compiled
def macd_update(words: Floats, at: int, fast: int, slow: int, signal: int, value: float) -> None:
    """Takes the next value of the series into a MACD."""
    ema_update(words, at + _SLOW, slow, value)
    if words[at + 3] < slow - fast:
        words[at + 3] += 1.0
        return
    ema_update(words, at + _FAST, fast, value)
    macd = words[at + _FAST] - words[at + _SLOW]
    if isnan(macd):
        return
    ema_update(words, at + _SIGNAL, signal, macd)
    line = words[at + _SIGNAL]
    if isnan(line):
        return
    words[at], words[at + 1], words[at + 2] = macd, line, macd - line


@compiled
def macd_peek(words: Floats, at: int, fast: int, slow: int, signal: int, value: float) -> tuple[float, float, float]:
    """All three lines with one more value: MACD, signal, histogram."""
    macd = ema_peek(words, at + _FAST, fast, value) - ema_peek(words, at + _SLOW, slow, value)
    line = ema_peek(words, at + _SIGNAL, signal, macd)
    if isnan(line):
        return nan, nan, nan
    return macd, line, macd - line


class Indicator(ABC):
    """What every indicator offers.

    Args:
        words: Length of its memory.
    """

    __slots__ = ("_words",)

    def __init__(self, words: int) -> None:
        self._words = np.zeros(words)
        self.reset()

    @property
    def value(self) -> float:
        """The indicator's value; NaN until enough values have come."""
        return float(self._words[0])

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

    def state(self) -> tuple[float, ...]:
        """All it remembers, as numbers of a fixed count, for :meth:`restore`."""
        return tuple(self._words.tolist())

    def restore(self, state: tuple[float, ...]) -> None:
        """Takes up where an indicator with the same parameters stood when it gave this :meth:`state`."""
        self._words[:] = state


class Ema(Indicator):
    """Exponential moving average with weight 2 / (period + 1), seeded with the mean of the first `period` values.

    Args:
        period: Number of values, at least 1.
    """

    __slots__ = ("_period",)

    def __init__(self, period: int) -> None:
        if period < 1:
            raise ValueError(f"an EMA needs a period of at least 1, not {period}")
        self._period = period
        super().__init__(EMA_WORDS)

    def update(self, value: float) -> None:
        """Takes the next value."""
        ema_update(self._words, 0, self._period, value)

    def peek(self, value: float) -> float:
        """The average with one more value."""
        return ema_peek(self._words, 0, self._period, value)

    def reset(self) -> None:
        """Forgets all values."""
        ema_reset(self._words, 0, self._period)


class Rsi(Indicator):
    """Wilder's relative strength index, 0 to 100.

    As in TA-Lib, a series that never moved has 0, not 50.

    Args:
        period: Number of changes that are smoothed, at least 2.
    """

    __slots__ = ("_period",)

    def __init__(self, period: int = 14) -> None:
        if period < 2:  # noqa: PLR2004 - TA-Lib's own lower limit
            raise ValueError(f"an RSI needs a period of at least 2, not {period}")
        self._period = period
        super().__init__(RSI_WORDS)

    def update(self, value: float) -> None:
        """Takes the next value."""
        rsi_update(self._words, 0, self._period, value)

    def peek(self, value: float) -> float:
        """The index with one more value."""
        return rsi_peek(self._words, 0, self._period, value)

    def reset(self) -> None:
        """Forgets all values."""
        rsi_reset(self._words, 0, self._period)


class MacdLines(NamedTuple):
    """The three lines of the MACD, in the unit of the series."""

    macd: float
    signal: float
    histogram: float


class Macd(Indicator):
    """Moving average convergence/divergence: fast EMA - slow EMA, its own EMA as signal, and their difference.

    `value` is the MACD line. As in TA-Lib all three lines begin together, when the signal does, and
    the fast average is seeded so that it begins together with the slow one.

    Args:
        fast: Period of the fast average, at least 1.
        slow: Period of the slow average, above `fast`.
        signal: Period of the signal line, at least 1.
    """

    __slots__ = ("_periods",)

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        if fast >= slow:
            raise ValueError(f"a MACD's fast period must be below its slow one, not {fast} and {slow}")
        self._periods = (fast, slow, signal)
        super().__init__(MACD_WORDS)

    @property
    def signal(self) -> float:
        """The signal line; NaN until initialised."""
        return float(self._words[1])

    @property
    def histogram(self) -> float:
        """MACD - signal; NaN until initialised."""
        return float(self._words[2])

    def update(self, value: float) -> None:
        """Takes the next value."""
        macd_update(self._words, 0, *self._periods, value)

    def peek(self, value: float) -> float:
        """The MACD line with one more value."""
        return self.peek_lines(value).macd

    def peek_lines(self, value: float) -> MacdLines:
        """All three lines with one more value."""
        return MacdLines(*macd_peek(self._words, 0, *self._periods, value))

    def reset(self) -> None:
        """Forgets all values."""
        macd_reset(self._words, 0, *self._periods)
