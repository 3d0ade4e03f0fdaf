"""Real days of NEPSE through the market's fold: the halts of 2024-07-02, and a day without any."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from feeds.replay import Replay
from state.market_fold import MarketFold
from state.rules import TradingCalendar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from state.market_alerts import MarketAlert
    from state.rules import MarketRules
    from state.tick import Tick


def seconds_of(ticks: Iterable[Tick]) -> Iterable[tuple[int, str]]:
    """The seconds of a day in order of time, as the job's one-second windows sum them up."""
    ordered = sorted(ticks, key=lambda tick: (tick.event_time // 1000, tick.symbol))
    for second, trades in groupby(ordered, key=lambda tick: tick.event_time // 1000):
        rows = []
        for symbol, group in groupby(trades, key=lambda tick: tick.symbol):
            own = list(group)
            turnover = sum(tick.price * tick.volume for tick in own)
            rows.append(f"{symbol}:{own[-1].price}:{turnover}:{len(own)}:{own[-1].trade_id}")
        yield second, ";".join(rows)


def alerts_of(file: Path, rules: MarketRules) -> list[MarketAlert]:
    if not file.is_file():
        pytest.skip(f"no real trades in {file}")
    fold = MarketFold(rules, TradingCalendar(rules), lead_s=25)
    numbers: list[int] = []
    for second, text in seconds_of(Replay([file])):
        numbers += [snapshot.second for snapshot in fold.take(second, text)]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    return fold.take_alerts()


def local_times(alert: MarketAlert, rules: MarketRules) -> tuple[str, ...]:
    day = TradingCalendar(rules).day_of(alert.event_time)
    moments = [moment for moment in (alert.start, alert.end) if moment is not None]
    since_midnight = [(moment - day.start) // 1000 for moment in moments]
    return tuple(f"{second // 3600}:{second // 60 % 60:02d}:{second % 60:02d}" for second in since_midnight)


def test_both_halts_of_2024_07_02_are_found_right_to_the_second_and_no_other(
    shared_data: Path, rules: MarketRules
) -> None:
    alerts = alerts_of(shared_data / "nepse_floorsheet_2024-07-02.csv.gz", rules)
    assert [(alert.rule, *local_times(alert, rules)) for alert in alerts] == [
        ("trading_halt", "11:01:20"),
        ("trading_resumed", "11:01:20", "11:21:20"),
        ("index_halt", "11:01:20", "11:21:20"),
        ("trading_halt", "11:21:39"),
        ("trading_resumed", "11:21:39", "12:01:39"),
        ("index_halt", "11:21:39", "12:01:39"),
    ]
    assert [alert.threshold for alert in alerts if alert.rule == "index_halt"] == [0.04, 0.05]


def test_the_calm_day_2024_06_10_has_no_halt(shared_data: Path, rules: MarketRules) -> None:
    assert alerts_of(shared_data / "nepse_floorsheet_2024-06-10.csv.gz", rules) == []
