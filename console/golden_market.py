"""What the log and the recorded snapshots say of the market: the seconds and the alerts that must be there.

Which trades a snapshot holds is decided by arrival, so its content is taken as recorded: predictions name it. What
follows from the snapshots, and what no arrival can change, is computed here.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from state.market_alerts import MarketAlerts
from state.records import market_alert_record
from state.rules import TradingCalendar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from state.rules import MarketRules

Json = dict[str, Any]

_COUNTED_S = 60
"""A snapshot's `trades_60s` counts the trades of so many seconds."""


class Silence(NamedTuple):
    """A halt of the whole market.

    Attributes:
        start: The last second (epoch s) in which something traded.
        end: The first one in which something traded again; None where nothing did on that day.
    """

    start: int
    end: int | None


def market_seconds(demanded: Iterable[int], recorded: Iterable[int], rules: MarketRules) -> set[int]:
    """The seconds that must have a snapshot: on each day from its first one to the last that a tick asks for.

    Args:
        demanded: Seconds (epoch s) that ticks ask for.
        recorded: Seconds that have a snapshot.
        rules: The market's rules.
    """
    calendar = TradingCalendar(rules)
    wanted, there = _by_day(demanded, calendar), _by_day(recorded, calendar)
    seconds: set[int] = set()
    for day in wanted.keys() | there.keys():
        if day not in there:
            seconds |= wanted[day]
        else:
            seconds.update(range(min(there[day]), max(there[day] | wanted.get(day, set())) + 1))
    return seconds


def _by_day(seconds: Iterable[int], calendar: TradingCalendar) -> dict[int, set[int]]:
    days: dict[int, set[int]] = {}
    for second in seconds:
        days.setdefault(calendar.day_of(second * 1000).start, set()).add(second)
    return days


def index_alerts(snapshots: Iterable[Json], rules: MarketRules) -> list[Json]:
    """The index halts that the snapshots' index passes, by the circuit-breaker table.

    Args:
        snapshots: Recorded snapshots in order of time, each second once.
        rules: The market's rules.
    """
    calendar = TradingCalendar(rules)
    watch = MarketAlerts(rules)
    today = None
    for snapshot in snapshots:
        day = calendar.day_of(snapshot["market_time"])
        if day != today:
            watch.start_day()
            today = day
        second, is_proxy = snapshot["market_time"] // 1000, snapshot["index_is_proxy"]
        watch.index(second, snapshot["index_return"], day, is_proxy=is_proxy)
    return [market_alert_record(alert) for alert in watch.take()]


def told_silences(alerts: Iterable[Json]) -> set[Silence]:
    """The silences that recorded alerts speak of."""
    told: dict[int, int | None] = {}
    for one in alerts:
        start, end = one["detail"].get("start"), one["detail"].get("end")
        if one["rule"] == "trading_halt":
            told.setdefault(start // 1000)
        elif end is not None:
            told[start // 1000] = end // 1000
    return {Silence(start, end) for start, end in told.items()}


def halt_alerts(silence: Silence, snapshots: Mapping[int, Json], rules: MarketRules) -> list[Json]:
    """The alerts of one silence; none if the snapshots speak against it.

    Args:
        silence: When it was.
        snapshots: Recorded snapshots by `market_time`.
        rules: The market's rules.
    """
    start, end = silence
    day = TradingCalendar(rules).day_of(start * 1000)
    silent = range(start + _COUNTED_S, end if end is not None else day.end // 1000)
    if any(snapshots[second * 1000]["trades_60s"] for second in silent if second * 1000 in snapshots):
        return []
    watch = MarketAlerts(rules)
    watch.traded(start, day)
    watch.silent(start + math.ceil(rules.alerts.trading_halt.silence_s), day)
    if end is not None:
        watch.traded(end, day)
    return [market_alert_record(alert) for alert in watch.take()]


def certain_silences(seconds: Iterable[int], rules: MarketRules) -> list[tuple[int, int]]:
    """Start and end (epoch s) of the silences that the market must have seen.

    The job may have seen fewer trades than the log has, not more.

    Args:
        seconds: Every second (epoch s) in which the log has any message but the index.
        rules: The market's rules.
    """
    calendar = TradingCalendar(rules)
    silence_s = rules.alerts.trading_halt.silence_s
    silences = []
    for start, end in pairwise(sorted(set(seconds))):
        day = calendar.day_of(start * 1000)
        if end - start >= silence_s and day.in_session(start * 1000) and end * 1000 <= day.close + 1000:
            silences.append((start, end))
    return silences
