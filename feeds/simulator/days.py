"""Simulated trading days, one after the other: each begins at the closing prices of the one before."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from feeds.simulator.day import DayParameters, closing_prices, simulate_day
from feeds.trades import ticks_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from feeds.simulator.universe import Universe
    from state.tick import Tick

_FRIDAY, _SATURDAY = 4, 5


def trading_days(universe: Universe, first: date, trades: int, seed: int) -> Iterator[tuple[date, list[Tick]]]:
    """Days without end, each with its ticks in order of arrival.

    Args:
        universe: What is listed on the first day.
        first: Where to begin; the first day that is no Friday or Saturday.
        trades: Trades of each day.
        seed: The same gives the same days.
    """
    day = first
    while True:
        while day.weekday() in (_FRIDAY, _SATURDAY):
            day += timedelta(days=1)
        simulated = simulate_day(universe, DayParameters(day=day, trades=trades, seed=seed, halt=False))
        yield day, list(ticks_of(simulated))
        universe = universe.after(closing_prices(universe, simulated))
        day += timedelta(days=1)
