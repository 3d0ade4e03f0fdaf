from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from state.rules import load_rules
from state.tick import Tick
from training.days import DataError, trading_days

NEPSE = load_rules(Path(__file__).resolve().parents[3] / "flink-conf" / "markets" / "nepse.yaml")
MIDNIGHT = 1_719_857_700_000  # 2024-07-02 00:00 in Kathmandu


def tick(event_time: int) -> Tick:
    return Tick("NABIL", 500.0, 10, event_time)


def test_without_trades_there_is_no_day() -> None:
    assert list(trading_days([], NEPSE)) == []


def test_a_day_begins_at_midnight_of_the_exchange() -> None:
    ticks = [tick(MIDNIGHT - 1), tick(MIDNIGHT), tick(MIDNIGHT + 86_399_999)]
    assert list(trading_days(ticks, NEPSE)) == [(date(2024, 7, 1), ticks[:1]), (date(2024, 7, 2), ticks[1:])]


def test_trades_that_arrive_hours_late_stay_in_their_day_in_order_of_arrival() -> None:
    ticks = [tick(MIDNIGHT + 50_000_000), tick(MIDNIGHT + 40_000_000)]
    assert list(trading_days(ticks, NEPSE)) == [(date(2024, 7, 2), ticks)]


def test_a_day_that_comes_back_is_refused() -> None:
    with pytest.raises(DataError, match="a trade of 2024-07-01 comes after trades of 2024-07-02"):
        list(trading_days([tick(MIDNIGHT), tick(MIDNIGHT - 1)], NEPSE))
