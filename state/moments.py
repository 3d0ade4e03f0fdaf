"""Mean and standard deviation of a window whose values come and go."""

from __future__ import annotations

from math import nan, sqrt

from state.indicators import Indicator

_SPLITTER = 134_217_729.0
"""2**27 + 1: multiplying by it cuts a float into two halves (Veltkamp)."""


class RunningMoments(Indicator):
    """Mean, variance and standard deviation (population form, as NumPy's and TA-Lib's) with removal.

    `value` is the standard deviation. The usual running forms never recover from an outlier: a block
    trade of a million shares would spoil every deviation after it has left the window. So both sums
    are kept as pairs of floats with twice the digits (TwoSum and TwoProduct; T. J. Dekker, "A
    floating-point technique for extending the available precision", 1971), out of which a value
    leaves as exactly as it came.

    Attributes:
        count: Number of values in the window.
    """

    __slots__ = ("_square", "_square_rest", "_sum", "_sum_rest", "count")

    def __init__(self) -> None:
        self.reset()

    @property
    def value(self) -> float:
        """The standard deviation of the window; NaN while it is empty."""
        return sqrt(self.variance)

    def update(self, value: float) -> None:
        """Puts a value into the window."""
        self.count += 1
        self._add(value, 1.0)

    def remove(self, value: float) -> None:
        """Takes a value out of the window; it must be one that was put in.

        Raises:
            ValueError: If the window is empty.
        """
        if not self.count:
            raise ValueError("there is no value to remove: the window is empty")
        self.count -= 1
        if self.count:
            self._add(value, -1.0)
        else:
            self.reset()

    @property
    def mean(self) -> float:
        """Mean of the window; NaN while it is empty."""
        return self._sum / self.count if self.count else nan

    @property
    def variance(self) -> float:
        """Population variance of the window; NaN while it is empty."""
        count = self.count
        if not count:
            return nan
        # (n * sum of squares - sum * sum) / n**2, the differences of nearly equal numbers taken in pairs.
        left, left_rest = _product(self._square, count)
        right, right_rest = _product(self._sum, self._sum)
        rest = (left_rest + self._square_rest * count) - (right_rest + 2.0 * self._sum * self._sum_rest)
        return max(((left - right) + rest) / (count * count), 0.0)

    def peek(self, value: float) -> float:
        """The standard deviation with one more value."""
        longer = RunningMoments()
        longer.restore(self.state())
        longer.update(value)
        return longer.value

    def z_score(self, value: float) -> float:
        """How many standard deviations a value lies above the mean; NaN where the window has no deviation."""
        deviation = self.value
        return (value - self._sum / self.count) / deviation if deviation > 0.0 else nan

    def reset(self) -> None:
        """Empties the window."""
        self.count = 0
        self._sum = self._sum_rest = 0.0
        self._square = self._square_rest = 0.0

    def state(self) -> tuple[float, ...]:
        """Count and both pairs of sums."""
        return float(self.count), self._sum, self._sum_rest, self._square, self._square_rest

    def restore(self, state: tuple[float, ...]) -> None:
        """Takes up a state."""
        count, self._sum, self._sum_rest, self._square, self._square_rest = state
        self.count = int(count)

    def _add(self, value: float, sign: float) -> None:
        # TwoSum, once for the sum and once for the squares, written out: this runs per trade.
        square, square_rest = _product(value, value)
        value *= sign
        square *= sign
        old = self._sum
        new = old + value
        part = new - old
        rest = self._sum_rest + ((old - (new - part)) + (value - part))
        self._sum = total = new + rest
        self._sum_rest = rest - (total - new)
        old = self._square
        new = old + square
        part = new - old
        rest = self._square_rest + ((old - (new - part)) + (square - part)) + sign * square_rest
        self._square = total = new + rest
        self._square_rest = rest - (total - new)


def _product(one: float, other: float) -> tuple[float, float]:
    """The rounded product of two floats and what rounding took from it."""
    product = one * other
    scaled = _SPLITTER * one
    one_high = scaled - (scaled - one)
    one_low = one - one_high
    scaled = _SPLITTER * other
    other_high = scaled - (scaled - other)
    other_low = other - other_high
    rest = ((one_high * other_high - product) + one_high * other_low + one_low * other_high) + one_low * other_low
    return product, rest
