"""The ticks of the runs: a simulated day, pressed together so that event time goes on at NEPSE's busiest rate."""

from __future__ import annotations

from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from feeds.simulator.day import DayParameters, simulate_day
from feeds.simulator.days import trading_days
from feeds.simulator.universe import make_universe
from feeds.trades import ticks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state.tick import Tick

PEAK_RATE = 890.0
"""Ticks a second of event time: NEPSE's busiest second on record."""

_DAY = date(2024, 7, 21)
_SEED = 7
_HOT_SHARE = 0.5


class Shape(NamedTuple):
    """What a run's ticks look like.

    Attributes:
        symbols: How many.
        ticks: How many.
        hot: Whether one symbol has half of all ticks.
    """

    symbols: int
    ticks: int
    hot: bool = False

    @property
    def name(self) -> str:
        """A name for its topic."""
        return f"{self.symbols}{'-hot' if self.hot else ''}-{self.ticks}"


def ticks_of_shape(shape: Shape, rate: float = PEAK_RATE) -> list[Tick]:
    """The ticks in order of arrival; the same shape gives the same ones.

    Args:
        shape: What they look like.
        rate: Ticks a second of event time, on average.
    """
    if not shape.hot:
        trades = _simulated(shape.symbols, shape.ticks, _SEED)
    else:
        hot = round(shape.ticks * _HOT_SHARE)
        trades = pd.concat(
            [
                _simulated(shape.symbols - 1, shape.ticks - hot, _SEED),
                _simulated(1, hot, _SEED + 1).assign(symbol="HOT"),
            ]
        )
        # Each part in its own order of arrival, one slid into the other.
        newest = np.concatenate([np.maximum.accumulate(part["event_time_us"]) for _, part in _parts(trades)])
        trades = trades.iloc[np.argsort(newest, kind="stable")]
    return list(ticks_of(pressed(trades.reset_index(drop=True), rate)))


def pressed(trades: pd.DataFrame, rate: float) -> pd.DataFrame:
    """The trades with the time between them cut so that so many come in a second, on average."""
    times = trades["event_time_us"].to_numpy()
    start = times.min()
    factor = len(trades) / rate * 1e6 / max(int(times.max() - start), 1)
    return trades.assign(event_time=(start + (times - start) * min(factor, 1.0)).astype(np.int64) // 1000)


def days(count: int, trades_a_day: int, symbols: int) -> Iterator[tuple[date, list[Tick]]]:
    """Trading days, one after the other, each with its ticks in order of arrival.

    Args:
        count: Number of days.
        trades_a_day: Trades of each.
        symbols: Symbols that are listed.
    """
    return islice(trading_days(make_universe(symbols, _SEED), _DAY, trades_a_day, _SEED), count)


def _simulated(symbols: int, trades: int, seed: int) -> pd.DataFrame:
    return simulate_day(make_universe(symbols, seed), DayParameters(day=_DAY, trades=trades, seed=seed, halt=False))


def _parts(trades: pd.DataFrame) -> list[tuple[bool, pd.DataFrame]]:
    is_hot = trades["symbol"] == "HOT"
    return [(False, trades[~is_hot]), (True, trades[is_hot])]
