"""In what order the feed delivers the trades: nearly, but not quite, the order in which they happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from feeds.simulator.orders import Orders
    from feeds.simulator.universe import Array

_AT_ONCE_US = 30_000
"""Two orders within so many µs count as coming at once."""
_OVERTAKEN, _DELAY_US = 0.17, (9_000.0, 1.0)
"""Orders that arrive after the one that came at once with them, and by how much they are delayed: median in µs, spread
of the logarithm."""
_STALL_ORDERS, _STALL_US = 0.0042, (800_000.0, 0.6)
"""Orders that meet a stall of their group, and how long it is."""
_SWAPPED, _SWAPPED_US = 0.0035, 400.0
"""Trades that change places with the next ones of their own order, and by how many µs on average."""
_WORST_US = 14_400_000


def arrival_order(orders: Orders, group: Array, random: np.random.Generator) -> Array:
    """Indices of the trades in the order in which they arrive.

    Args:
        orders: The day's trades, in order of time.
        group: Contract group of each order: a stall holds all of a group's trades until it ends.
        random: Source of chance.
    """
    arrives = orders.time + _delays(orders.order_time, random)[orders.order]
    arrives = np.maximum(arrives, _stalled_until(orders, group, random))
    arrives += np.where(
        random.random(len(arrives)) < _SWAPPED, random.exponential(_SWAPPED_US, len(arrives)), 0
    ).astype(np.int64)
    indices: Array = np.argsort(np.minimum(arrives, orders.time + _WORST_US), kind="stable")
    return indices


def _delays(order_time: Array, random: np.random.Generator) -> Array:
    """How long each order's trades are under way, µs, stalls apart."""
    median, spread = _DELAY_US
    delays = median * np.exp(spread * random.standard_normal(len(order_time)))
    followed = np.diff(order_time, append=order_time[-1] + 2 * _AT_ONCE_US) < _AT_ONCE_US
    delays[~(followed & (random.random(len(order_time)) < _OVERTAKEN))] = 0
    micros: Array = delays.astype(np.int64)
    return micros


def _stalled_until(orders: Orders, group: Array, random: np.random.Generator) -> Array:
    """When the stall that each trade meets ends, µs since midnight; 0 where it meets none."""
    median, spread = _STALL_US
    until = np.zeros(len(orders.time), np.int64)
    hit = np.flatnonzero(random.random(len(orders.symbol)) < _STALL_ORDERS)
    lengths = (median * np.exp(spread * random.standard_normal(len(hit)))).astype(np.int64)
    ends = np.zeros(len(orders.symbol), np.int64)
    ends[hit] = orders.order_time[hit] + lengths
    for one in np.unique(group):
        members = np.flatnonzero(group[orders.order] == one)
        met = np.maximum.accumulate(ends[orders.order[members]])
        until[members] = met
    return until
