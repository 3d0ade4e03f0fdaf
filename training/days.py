"""Recorded trades, cut into the days of the exchange's calendar."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from state.rules import TradingCalendar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from state.rules import MarketRules
    from state.tick import Tick


class DataError(Exception):
    """Trades that no data set can be made of; the text is a sentence that says why and what to do."""


def trading_days(ticks: Iterable[Tick], rules: MarketRules) -> Iterator[tuple[date, list[Tick]]]:
    """The ticks of each day, in order of arrival, one day after another.

    Args:
        ticks: Ticks in order of arrival.
        rules: The market's rules, for its time zone.

    Raises:
        DataError: If a tick belongs to a day before the one that has begun.
    """
    calendar = TradingCalendar(rules)
    latest: date | None = None
    for day, ticks_of_day in groupby(ticks, key=lambda tick: calendar.day_of(tick.event_time).day):
        if latest is not None and day < latest:
            raise DataError(f"a trade of {day} comes after trades of {latest}; give the files in order of their days")
        latest = day
        yield day, list(ticks_of_day)
