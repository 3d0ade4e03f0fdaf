"""When somebody trades what: the rhythm of the session, and orders that run through several trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from feeds.simulator.market import AUCTION, CLOSE, HALT_LENGTH_S, OPEN, SECOND, SESSION_S, autoregressive, second_of
from feeds.simulator.universe import capped_shares

if TYPE_CHECKING:
    from feeds.simulator.market import Market
    from feeds.simulator.universe import Array, Universe

AUCTION_TRADES = 890
"""Trades of the auction from `TYPICAL_TRADES` a day on, all within a second: the busiest one on record."""
TYPICAL_TRADES = 60_000

_INTENSITY = (
    *(0.58, 0.72, 0.78, 0.84, 0.90, 0.91, 0.92, 0.92, 0.92, 0.90, 0.91, 0.90, 0.95, 0.95, 0.92, 0.92),
    *(0.91, 0.90, 0.91, 0.91, 0.89, 0.89, 0.90, 0.87, 0.88, 0.88, 0.87, 0.87, 0.85, 0.84, 0.85, 0.86),
    *(0.85, 0.87, 0.87, 0.83, 0.86, 0.88, 0.90, 0.95, 1.04, 1.10, 1.16, 1.22, 1.36, 1.52, 1.86, 3.77),
)
"""Trades in each five minutes of the session, relative to their mean over 64 days."""
_WAVES = (0.45, 120.0)
"""Spread of the logarithm of the intensity, and how many seconds a busy spell lasts."""
_BURST_EXPONENT, _MAX_BURST = 2.6, 200
"""Trades of one order: power law. 44 % of a symbol's trades follow the one before within 0.1 s."""
_BURST_GAP_US = (102.0, 0.8)
"""Time between the trades of one order: median in µs, spread of the logarithm."""
_ECHO_SHARE, _ECHO_GAP_US = 0.05, (4_000.0, 1.2)
"""Orders that follow another one at once, as baskets do, and how soon: median in µs, spread of the logarithm."""
_LONGEST_ORDER_US = 400_000
"""Nothing starts so late before a halt or the close that its trades would reach into it."""
_LATE_CLOSES, _LATE_CLOSE_US = 3, 6_000
_CHANGED_MINDS = 0.5
"""Orders whose side owes nothing to the one before in the same symbol."""
_CROWD = 0.3
"""How strongly a rising market makes buyers, and a falling one sellers."""


@dataclass(frozen=True)
class Orders:
    """The day's trades in order of time, and the orders they belong to.

    Attributes:
        order: Order of each trade: index into the next three.
        symbol: Symbol of each order: index into the universe.
        side: +1 where a buyer took the ask, -1 where a seller hit the bid.
        order_time: When each order came, µs since midnight.
        step: Place of each trade within its order, from 0.
        time: Time of each trade, µs since midnight.
    """

    order: Array
    symbol: Array
    side: Array
    order_time: Array
    step: Array
    time: Array


def make_orders(universe: Universe, trades: int, market: Market, random: np.random.Generator) -> Orders:
    """Draws the orders of a day.

    Args:
        universe: What is traded.
        trades: Exact number of trades, auction and late closes included.
        market: Its mood, which decides who buys, and its halt.
        random: Source of chance.
    """
    in_auction = min(AUCTION_TRADES, round(trades * AUCTION_TRADES / TYPICAL_TRADES))
    closing = min(_LATE_CLOSES, (trades - in_auction) // 2)
    sizes = _burst_sizes(trades - in_auction - closing, random)
    times = np.concatenate(
        [
            np.sort(AUCTION + random.integers(4_000, 450_000, size=in_auction)),
            _continuous_times(len(sizes), market.halt_start_s, random),
            np.sort(CLOSE + random.integers(0, _LATE_CLOSE_US, size=closing)),
        ]
    )
    sizes = np.concatenate([np.ones(in_auction, int), sizes, np.ones(closing, int)])
    popularity = capped_shares(universe.activity * np.exp(0.5 * random.standard_normal(len(universe.symbols))))
    symbol = random.choice(len(popularity), size=len(sizes), p=popularity)
    order = np.repeat(np.arange(len(sizes)), sizes)
    step = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    gaps = np.where(step == 0, 0, np.maximum(1, _lognormal(_BURST_GAP_US, len(order), random).astype(np.int64)))
    since_start = np.cumsum(gaps)
    since_start -= np.repeat(since_start[step == 0], sizes)
    time = times[order] + np.minimum(since_start, _LONGEST_ORDER_US - 1)
    by_time = np.argsort(time, kind="stable")
    return Orders(
        order[by_time],
        symbol,
        _sides(symbol, market.sentiment[second_of(times)], random),
        times,
        step[by_time],
        time[by_time],
    )


def _burst_sizes(trades: int, random: np.random.Generator) -> Array:
    sizes = np.minimum(random.zipf(_BURST_EXPONENT, size=trades), _MAX_BURST)
    ends = np.cumsum(sizes)
    count = int(np.searchsorted(ends, trades)) + 1
    sizes = sizes[:count]
    sizes[-1] -= sizes.sum() - trades
    return sizes


def _continuous_times(count: int, halt_start_s: int | None, random: np.random.Generator) -> Array:
    spread, memory_s = _WAVES
    wave = autoregressive(SESSION_S, memory_s, random)
    quarter_points = np.linspace(150, SESSION_S - 150, len(_INTENSITY))
    intensity = np.interp(np.arange(SESSION_S), quarter_points, _INTENSITY) * np.exp(spread * wave)
    quiet = np.zeros(SESSION_S, bool)
    quiet[-1] = True
    if halt_start_s is not None:
        quiet[halt_start_s - 1 : halt_start_s + HALT_LENGTH_S] = True
    intensity[quiet] = 0
    seconds = random.choice(SESSION_S, size=count, p=intensity / intensity.sum())
    times = np.sort(OPEN + seconds * SECOND + random.integers(0, SECOND, size=count))
    echoes = 1 + np.flatnonzero(random.random(max(0, count - 1)) < _ECHO_SHARE)
    gaps = np.minimum(_lognormal(_ECHO_GAP_US, len(echoes), random), _LONGEST_ORDER_US)
    times[echoes] = times[echoes - 1] + gaps.astype(np.int64)
    times.sort()
    return times


def _sides(symbol: Array, sentiment: Array, random: np.random.Generator) -> Array:
    """Sides that tend to persist within a symbol and to go with the market.

    Args:
        symbol: Symbol of each order, in order of time.
        sentiment: The market's mood when each order comes, of unit variance.
        random: Source of chance.
    """
    by_symbol = np.argsort(symbol, kind="stable")
    is_new = random.random(len(symbol)) < _CHANGED_MINDS
    is_new[np.diff(symbol[by_symbol], prepend=-1) != 0] = True
    mind = random.standard_normal(len(symbol))[np.maximum.accumulate(np.where(is_new, np.arange(len(symbol)), 0))]
    side = np.empty(len(symbol), int)
    side[by_symbol] = np.where(mind + _CROWD * sentiment[by_symbol] > 0, 1, -1)
    return side


def _lognormal(median_and_spread: tuple[float, float], count: int, random: np.random.Generator) -> Array:
    median, spread = median_and_spread
    drawn: Array = median * np.exp(spread * random.standard_normal(count))
    return drawn
