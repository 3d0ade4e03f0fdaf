"""Recorded trades, cut into the days of the exchange's calendar."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from state.tick import Tick


class DataError(Exception):
    """Trades that no data set can be made of; the text is a sentence that says why and what to do."""


def trading_days(ticks: Iterable[Tick], zone: tzinfo) -> Iterator[tuple[date, list[Tick]]]:
    """The ticks of each day, in order of arrival, one day after another.

    Args:
        ticks: Ticks in order of arrival.
        zone: The exchange's time zone.

    Raises:
        DataError: If a tick belongs to a day before the one that has begun.
    """
    day: date | None = None
    start = end = 0
    ticks_of_day: list[Tick] = []
    for tick in ticks:
        if not start <= tick.event_time < end:
            next_day = datetime.fromtimestamp(tick.event_time / 1000, zone).date()
            if day is not None:
                if next_day < day:
                    raise DataError(
                        f"a trade of {next_day} comes after trades of {day}; give the files in order of their days"
                    )
                yield day, ticks_of_day
            day, ticks_of_day = next_day, []
            start, end = (_midnight_ms(day + timedelta(days=ahead), zone) for ahead in (0, 1))
        ticks_of_day.append(tick)
    if day is not None:
        yield day, ticks_of_day


def _midnight_ms(day: date, zone: tzinfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
