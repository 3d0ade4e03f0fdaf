"""The listed securities: names, prices, and how each of them trades."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

GROUPS = (1, 3, 4, 5)
"""The exchange's contract groups; each is matched and delivered by itself."""
_GROUP_SHARES = (0.45, 0.25, 0.18, 0.12)

_FUND_SHARE = 0.11
_FUND_GRID, _SHARE_GRID = 0.01, 0.1
_FUND_PRICE, _SHARE_PRICE = (8.5, 0.1), (610.0, 0.7)
"""Median in rupees, and spread of the logarithm."""
_ACTIVITY_SPREAD = 1.7
_MAX_ACTIVITY = 0.025
"""The busiest symbol has this share of a day's trades."""
_LIVELINESS = 0.3
"""Power of the activity to which a price follows the market: what trades much also moves much."""

LAGS_S = (10, 60, 150)
"""How fast a price follows the market, in seconds: each symbol has one of these."""
_PRICE_STEPS = np.array([m * 10.0**e for e in range(-2, 4) for m in (1, 2, 5)])


@dataclass(frozen=True)
class Universe:
    """The securities of a simulated exchange, one array element each.

    Attributes:
        symbols: Tickers.
        groups: Contract group of each, one of `GROUPS`.
        closes: Previous close, rupees.
        grids: Smallest step of the price, rupees.
        habits: Step of the prices people like to quote, rupees, a multiple of the grid.
        activity: Share of the trades.
        betas: How strongly the price follows the market; 1 on average, weighted by turnover.
        lags: How fast it follows: index into `LAGS_S`.
        volatilities: Movement of its own, in a minute, as a fraction.
        spreads: Half the distance between bid and ask, as a fraction.
    """

    symbols: Array
    groups: Array
    closes: Array
    grids: Array
    habits: Array
    activity: Array
    betas: Array
    lags: Array
    volatilities: Array
    spreads: Array

    def after(self, closes: Array) -> Universe:
        """The same securities on the next day.

        Args:
            closes: Last price of each, rupees; NaN where it did not trade.
        """
        return replace(self, closes=np.where(np.isnan(closes), self.closes, closes))


def make_universe(count: int, seed: int) -> Universe:
    """Invents so many securities; the same seed gives the same ones.

    Raises:
        ValueError: If `count` is not above 0.
    """
    if count < 1:
        raise ValueError(f"a market of {count} symbols can't be simulated; take at least 1")
    random = np.random.default_rng([seed, count])
    is_fund = random.random(count) < _FUND_SHARE
    grids = np.where(is_fund, _FUND_GRID, _SHARE_GRID)
    medians = np.where(is_fund, _FUND_PRICE[0], _SHARE_PRICE[0])
    sizes = np.where(is_fund, _FUND_PRICE[1], _SHARE_PRICE[1])
    closes = np.clip(medians * np.exp(sizes * random.standard_normal(count)), 6, 45_000)
    closes = np.round(np.round(closes / grids) * grids, 2)
    activity = capped_shares(np.exp(_ACTIVITY_SPREAD * random.standard_normal(count)))
    betas = np.clip(1 + 0.35 * random.standard_normal(count), 0.3, 2.0) * (activity * count) ** _LIVELINESS
    return Universe(
        symbols=_tickers(is_fund, random),
        groups=random.choice(GROUPS, size=count, p=_GROUP_SHARES),
        closes=closes,
        grids=grids,
        habits=np.maximum(grids, _PRICE_STEPS[np.searchsorted(_PRICE_STEPS, closes * 26e-4)]),
        activity=activity,
        betas=betas / np.average(betas, weights=activity * closes),
        lags=random.choice(len(LAGS_S), size=count, p=(0.3, 0.4, 0.3)),
        volatilities=11e-4 * np.exp(0.4 * random.standard_normal(count)),
        spreads=9e-4 * np.exp(0.5 * random.standard_normal(count)),
    )


def capped_shares(weights: Array) -> Array:
    """Shares that sum to 1, in proportion to the weights, but none far above that of a market's busiest symbol."""
    shares = np.minimum(weights / weights.sum(), max(_MAX_ACTIVITY, 1 / len(weights)))
    capped: Array = shares / shares.sum()
    return capped


def _tickers(is_fund: Array, random: np.random.Generator) -> Array:
    letters = np.array(list("ABCDEFGHIJKLMNOPRSTUV"))
    tickers: list[str] = []
    taken: set[str] = set()
    for fund in is_fund:
        while True:
            ticker = "".join(random.choice(letters, size=3 if fund else random.integers(3, 6)))
            ticker += "F1" if fund else ""
            if ticker not in taken:
                break
        taken.add(ticker)
        tickers.append(ticker)
    return np.array(tickers)
