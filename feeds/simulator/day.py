"""A whole simulated day as a table of trades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from feeds.simulator.arrival import arrival_order
from feeds.simulator.market import make_market
from feeds.simulator.orders import make_orders
from feeds.simulator.prices import trade_prices
from feeds.simulator.universe import GROUPS
from feeds.trades import EXCHANGE_ZONE

if TYPE_CHECKING:
    from datetime import date

    from feeds.simulator.orders import Orders
    from feeds.simulator.universe import Array, Universe

_HALT_STARTS_S = (25 * 60, 40 * 60)
"""A halt begins in this part of the session: early enough to be one of 20 minutes."""
_BOARD_LOTS = np.array([10, 100, 50, 20, 200, 500, 30, 40, 300, 11, 1000, 150, 25, 15, 90])
_LOT_SHARES = np.array(
    [0.242, 0.097, 0.066, 0.049, 0.041, 0.031, 0.026, 0.018, 0.016, 0.016, 0.013, 0.011, 0.010, 0.010, 0.010]
)
"""Numbers of shares that trades are made of most, and how often; the rest is drawn from a wide distribution."""
_OTHER_LOT, _ROUND_SHARE, _MAX_LOT = (85.0, 1.45), 0.35, 500_000
_ODD_LOT_SHARE, _SMALLEST_BOARD_LOT = 0.0047, 10
_BROKERS = 90
_FIRST_BOOK_ID = 100_000_000
_MAX_BOOK_STEP = 4


@dataclass(frozen=True)
class DayParameters:
    """What a simulated day looks like; the same parameters give the same day.

    Attributes:
        day: Its date, in the exchange's calendar.
        trades: Exact number of trades.
        seed: Seed of everything that is left to chance.
        halt: Whether the whole market is halted for 20 minutes.
    """

    day: date
    trades: int
    seed: int
    halt: bool


def simulate_day(universe: Universe, parameters: DayParameters) -> pd.DataFrame:
    """Makes a trading day.

    Returns:
        The trades in order of arrival, with the columns `symbol`, `price` (rupees), `volume` (shares), `event_time`
        (ms since the epoch), `event_time_us` (µs since the epoch), `trade_id`, `buyer`, `seller` (texts) and
        `trade_book_id`, which increases.

    Raises:
        ValueError: If the number of trades is not above 0.
    """
    if parameters.trades < 1:
        raise ValueError(f"a day of {parameters.trades} trades can't be simulated; take at least 1")
    random = np.random.default_rng([parameters.seed, parameters.day.toordinal()])
    halt_start_s = int(random.integers(*_HALT_STARTS_S)) if parameters.halt else None
    market = make_market(halt_start_s, random)
    orders = make_orders(universe, parameters.trades, market, random)
    prices = trade_prices(universe, orders, market, random)
    symbol = orders.symbol[orders.order]
    group = universe.groups[symbol]
    buyer, seller = _brokers(orders, random)
    midnight = datetime.combine(parameters.day, time(), EXCHANGE_ZONE)
    event_time_us = int(midnight.astimezone(UTC).timestamp()) * 1_000_000 + orders.time
    trades = pd.DataFrame(
        {
            "symbol": universe.symbols[symbol],
            "price": prices,
            "volume": _volumes(len(symbol), random),
            "event_time": event_time_us // 1000,
            "event_time_us": event_time_us,
            "trade_id": _contract_ids(parameters.day, group),
            "buyer": buyer,
            "seller": seller,
        }
    )
    trades = trades.iloc[arrival_order(orders, universe.groups[orders.symbol], random)].reset_index(drop=True)
    book_ids = _FIRST_BOOK_ID + np.cumsum(random.integers(1, _MAX_BOOK_STEP, size=len(trades)))
    return trades.assign(trade_book_id=book_ids)


def closing_prices(universe: Universe, trades: pd.DataFrame) -> Array:
    """Last price of each security of a universe, rupees; NaN where it did not trade."""
    last = trades.sort_values("event_time_us", kind="stable").groupby("symbol")["price"].last()
    closes: Array = last.reindex(universe.symbols).to_numpy()
    return closes


def _contract_ids(day: date, group: Array) -> Array:
    """The exchange's ids: day, group and a number that increases in time within both."""
    numbers = np.empty(len(group), np.int64)
    for one in GROUPS:
        members = np.flatnonzero(group == one)
        numbers[members] = np.arange(1, len(members) + 1)
    ids = int(f"{day:%Y%m%d}") * 10**8 + group.astype(np.int64) * 10**6 + numbers
    return ids.astype(str).astype(object)


def _volumes(count: int, random: np.random.Generator) -> Array:
    median, spread = _OTHER_LOT
    wide = np.clip(median * np.exp(spread * random.standard_normal(count)), 1.2 * _SMALLEST_BOARD_LOT, _MAX_LOT).astype(
        int
    )
    is_round = random.random(count) < _ROUND_SHARE
    wide[is_round] = wide[is_round] // 10 * 10
    chance = random.random(count)
    lots = np.append(_BOARD_LOTS, 0)[np.searchsorted(np.cumsum(_LOT_SHARES), chance)]
    volumes = np.where(lots > 0, lots, wide)
    odd = chance > 1 - _ODD_LOT_SHARE
    return np.where(odd, random.integers(1, _SMALLEST_BOARD_LOT, size=count), volumes)


def _brokers(orders: Orders, random: np.random.Generator) -> tuple[Array, Array]:
    """Buying and selling broker of each trade; the one who sent the order stays the same all through it."""
    numbers = random.permutation(np.arange(1, 100))[:_BROKERS]
    weights = 1 / np.arange(3, _BROKERS + 3)
    names = numbers.astype(str).astype(object)
    active = random.choice(names, size=len(orders.symbol), p=weights / weights.sum())[orders.order]
    passive = random.choice(names, size=len(orders.order), p=weights / weights.sum())
    buys = orders.side[orders.order] > 0
    return np.where(buys, active, passive), np.where(buys, passive, active)
