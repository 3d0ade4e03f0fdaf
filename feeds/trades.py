"""Trades as a table: the form between a file and the ticks, and the check of every row."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta, timezone
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from feeds.source import BadRow
from state.tick import Tick

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

EXCHANGE_ZONE = timezone(timedelta(hours=5, minutes=45), "NPT")
"""Zone of the times in a floorsheet, which carry none, and of the days that a filter names.

Nepal has had this offset since 1986, without summer time; pandas is ten times as fast with a fixed one."""

_MAX_EXACT = 2.0**53
"""Above this, a float does not hold every whole number."""
_MAX_EPOCH_US = 4_102_444_800_000_000
"""The year 2100: a later time is a mistaken unit."""


def checked(rows: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[BadRow]]:
    """Parts good rows from bad ones.

    Args:
        rows: One row per trade, in any order, with the columns `symbol` (text), `price` (rupees), `volume` (shares),
            `event_time_us` (µs since the epoch), `line` (line or row in the file), and optionally `trade_id`,
            `buyer`, `seller` (text). A number that could not be read is NaN, a text that is missing is None or "".
        file: Name of the file, for the bad rows.

    Returns:
        The good rows, with `volume` and `event_time` (ms) as integers, and the bad ones with their reason.
    """
    checks = (
        ("the symbol is missing", rows["symbol"].isna() | (rows["symbol"] == "")),
        ("the price is not a number above 0", ~(np.isfinite(rows["price"]) & (rows["price"] > 0))),
        ("the volume is not a whole number above 0", ~_is_count(rows["volume"])),
        (
            "the time is missing, without a zone or not a time",
            ~rows["event_time_us"].between(0, _MAX_EPOCH_US).astype(bool),
        ),
    )
    bad = np.zeros(len(rows), dtype=bool)
    found: list[BadRow] = []
    for reason, fails in checks:
        wrong = fails.to_numpy() & ~bad
        if wrong.any():
            found += [BadRow(file, int(line), reason) for line in rows["line"].to_numpy()[wrong]]
            bad |= wrong
    if found:
        rows = rows[~bad]
    event_time = rows["event_time_us"].to_numpy().astype(np.int64) // 1000
    return rows.assign(volume=rows["volume"].astype(np.int64), event_time=event_time), sorted(found)


class Days(NamedTuple):
    """A span of days of the exchange's calendar, both ends included; None: no bound."""

    first: date | None = None
    last: date | None = None

    def pick(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows, as :func:`checked` gives them, whose trade was on one of the days."""
        start, end = self._bounds()
        return rows[(rows["event_time"] >= start) & (rows["event_time"] < end)] if self != Days() else rows

    def exclude(self, oldest: int, newest: int) -> bool:
        """Whether no time between two event times, in ms, is in the days."""
        start, end = self._bounds()
        return newest < start or oldest >= end

    def _bounds(self) -> tuple[float, float]:
        start = -math.inf if self.first is None else _midnight_ms(self.first)
        end = math.inf if self.last is None else _midnight_ms(self.last + timedelta(days=1))
        return start, end


def ticks_of(rows: pd.DataFrame) -> Iterator[Tick]:
    """The ticks of checked rows, in their order."""
    texts = (_texts(rows, name) for name in ("trade_id", "buyer", "seller"))
    numbers = (rows[name].to_numpy().tolist() for name in ("price", "volume", "event_time"))
    return map(Tick, rows["symbol"].tolist(), *numbers, *texts)


def _texts(rows: pd.DataFrame, name: str) -> Iterator[str | None]:
    if name not in rows:
        return repeat(None)
    return (text or None for text in rows[name].tolist())


def _is_count(values: pd.Series[float]) -> pd.Series[bool]:
    return (values > 0) & (values < _MAX_EXACT) & (values % 1 == 0)


def _midnight_ms(day: date) -> int:
    return int(datetime.combine(day, time(), EXCHANGE_ZONE).timestamp() * 1000)
