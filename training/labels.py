"""What each trade's price did within its minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.outcomes import HORIZON_MS
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    import numpy.typing as npt

UP, FLAT, DOWN = (CLASSES.index(name) for name in ("up", "flat", "down"))


def label_moves(
    symbols: npt.NDArray[np.int64], event_times: npt.NDArray[np.int64], prices: npt.NDArray[np.float64]
) -> npt.NDArray[np.int8]:
    """Class of each trade: where its symbol's last price within the next minute stands against its own.

    The minute of a trade at t is (t, t + 60 s]. A symbol that does not trade in it stays flat, as
    does one that comes back to the price. Trades of the same millisecond count in the order given.

    Args:
        symbols: Number of each trade's symbol, >= 0, shape (trades,).
        event_times: Time of each trade, ms since the epoch, in any order.
        prices: Price of each trade, in rupees.

    Returns:
        Index into :data:`udfs.manifest.CLASSES` of each trade, shape (trades,).
    """
    if not len(symbols):
        return np.empty(0, dtype=np.int8)
    since_first = event_times - event_times.min()
    # One number that sorts by symbol, then time; no minute reaches into the next symbol's numbers.
    moments = symbols * (int(since_first.max()) + HORIZON_MS + 1) + since_first
    order = np.argsort(moments, kind="stable")
    sorted_moments = moments[order]
    last = np.searchsorted(sorted_moments, sorted_moments + HORIZON_MS, side="right") - 1
    sorted_prices = prices[order]
    change = np.where(sorted_moments[last] > sorted_moments, sorted_prices[last] - sorted_prices, 0.0)
    labels = np.empty(len(symbols), dtype=np.int8)
    labels[order] = np.where(change > 0.0, UP, np.where(change < 0.0, DOWN, FLAT))
    return labels
