"""At what price: a common market factor, movements of each symbol's own, bid and ask, steps and bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from feeds.simulator.market import SESSION_S, follow, second_of
from feeds.simulator.universe import GROUPS, LAGS_S

if TYPE_CHECKING:
    from feeds.simulator.market import Market
    from feeds.simulator.orders import Orders
    from feeds.simulator.universe import Array, Universe

_GROUP_NOISE = 1.5e-4
"""Movement of each group by itself, as a fraction, in a minute."""
_OPENING_GAP, _MAX_OPENING_GAP = 0.009, 0.02
"""Spread of the opening prices around the closes, and the exchange's limit for them."""
_BAND = 0.10
"""The exchange's limit for a day, around the previous close."""
_FINE_PRICES = 0.2
"""Share of the orders whose price is not one of those that people like to quote."""
_WALK_SHARE, _WALK = 0.405, (6e-4, 1.0)
"""Steps within an order that move the price, and how far: median as a fraction, spread of the logarithm."""


def trade_prices(universe: Universe, orders: Orders, market: Market, random: np.random.Generator) -> Array:
    """Price of each trade, rupees, on the symbol's grid and within its band."""
    middles = np.exp(_efficient_log_prices(universe, orders, market, random))
    symbol = orders.symbol
    quotes = middles * (1 + orders.side * universe.spreads[symbol])
    is_fine = random.random(len(symbol)) < _FINE_PRICES
    steps = np.where(is_fine, universe.grids[symbol], universe.habits[symbol])
    quotes = np.round(quotes / steps) * steps

    traded, grids = symbol[orders.order], universe.grids[symbol[orders.order]]
    prices = quotes[orders.order] + orders.side[orders.order] * _walks(orders, quotes, grids, random)
    closes = universe.closes[traded]
    lowest = np.ceil(np.round(closes * (1 - _BAND) / grids, 6)) * grids
    highest = np.floor(np.round(closes * (1 + _BAND) / grids, 6)) * grids
    clipped = np.clip(np.round(prices / grids) * grids, lowest, highest)
    rounded: Array = np.round(clipped, 2)
    return rounded


def _walks(orders: Orders, quotes: Array, grids: Array, random: np.random.Generator) -> Array:
    """How far each trade is from its order's first one, as the order eats into the book."""
    count = len(orders.order)
    median, spread = _WALK
    sizes = median * np.exp(spread * random.standard_normal(count)) * quotes[orders.order]
    moves = np.maximum(grids, np.round(sizes / grids) * grids)
    moves[(random.random(count) > _WALK_SHARE) | (orders.step == 0)] = 0
    by_order = np.lexsort((orders.step, orders.order))
    walked = np.cumsum(moves[by_order])
    firsts = orders.step[by_order] == 0
    walked -= np.repeat(walked[firsts], np.diff(np.append(np.flatnonzero(firsts), count)))
    result = np.empty(count)
    result[by_order] = walked
    return result


def _efficient_log_prices(universe: Universe, orders: Orders, market: Market, random: np.random.Generator) -> Array:
    """Logarithm of what each order's symbol is worth when the order comes."""
    symbol = orders.symbol
    second = second_of(orders.order_time)
    lagged = np.array([follow(market.path, lag) for lag in LAGS_S])
    groups = np.cumsum(random.standard_normal((len(GROUPS), SESSION_S)), axis=1) * _GROUP_NOISE / np.sqrt(60)
    gaps = np.clip(_OPENING_GAP * random.standard_normal(len(universe.symbols)), -_MAX_OPENING_GAP, _MAX_OPENING_GAP)
    common = universe.betas[symbol] * lagged[universe.lags[symbol], second]
    common += groups[np.searchsorted(GROUPS, universe.groups[symbol]), second]
    opening = np.log(universe.closes[symbol]) + gaps[symbol]
    result: Array = opening + common + _own_paths(universe, symbol, second, random)
    return result


def _own_paths(universe: Universe, symbol: Array, second: Array, random: np.random.Generator) -> Array:
    """A random walk for each symbol, looked at when its orders come."""
    by_symbol = np.lexsort((second, symbol))
    minutes = np.diff(second[by_symbol] / 60, prepend=0.0)
    is_first = np.diff(symbol[by_symbol], prepend=-1) != 0
    minutes[is_first] = second[by_symbol][is_first] / 60
    walk = np.cumsum(random.standard_normal(len(symbol)) * np.sqrt(np.maximum(minutes, 0)))
    moves = np.diff(walk, prepend=0.0)
    starts = np.maximum.accumulate(np.where(is_first, np.arange(len(symbol)), 0))
    own = (walk - (walk - moves)[starts]) * universe.volatilities[symbol[by_symbol]]
    result = np.empty(len(symbol))
    result[by_symbol] = own
    return result
