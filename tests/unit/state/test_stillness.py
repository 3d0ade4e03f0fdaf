"""A stream that stands still, on a clock that the test moves."""

from __future__ import annotations

from datetime import datetime

import pytest

from jobs.settings import Settings
from state.intake import TickTimes
from state.rules import TradingCalendar, load_rules
from state.stillness import LOOK_EVERY_MS, Stillness

BOUND, PATIENCE = 15_000, 90_000
TIMES = TickTimes(out_of_orderness=BOUND, max_ahead=10_000, earliest=0, close_after=PATIENCE)
YEARS_LATER = 50_000_000_000


def at(clock: str) -> int:
    return int(datetime.fromisoformat(f"2024-07-02T{clock}+05:45").timestamp() * 1000)


NOON, CLOSE = at("12:00:00"), at("15:00:00")


@pytest.fixture
def calendar() -> TradingCalendar:
    return TradingCalendar(load_rules(Settings().market.rules_file))


def after_a_trade(calendar: TradingCalendar, event_time: int, now: int) -> tuple[Stillness, int]:
    """A watch on a stream whose last message came now, and its watermark."""
    stillness = Stillness(TIMES, calendar, now)
    watermark = event_time - BOUND - 1
    stillness.look(now, watermark)
    stillness.arrived(now)
    stillness.traded(event_time)
    return stillness, watermark


def test_in_a_replay_what_waits_is_settled_after_the_whole_patience(calendar: TradingCalendar) -> None:
    now = NOON + YEARS_LATER
    stillness, watermark = after_a_trade(calendar, NOON, now)
    due = NOON + 60_000
    assert stillness.settled(now + PATIENCE - 1, due) == watermark
    assert stillness.settled(now + PATIENCE, due) == due


def test_after_the_days_last_trade_a_short_silence_is_enough(calendar: TradingCalendar) -> None:
    now = CLOSE + YEARS_LATER
    stillness, watermark = after_a_trade(calendar, CLOSE - 1, now)
    due = CLOSE + 60_000
    assert stillness.settled(now + LOOK_EVERY_MS - 1, due) == watermark
    assert stillness.settled(now + LOOK_EVERY_MS, due) == due


def test_a_worker_without_late_trades_of_its_own_learns_of_the_close_from_the_watermark(
    calendar: TradingCalendar,
) -> None:
    now = CLOSE + YEARS_LATER
    stillness, _ = after_a_trade(calendar, NOON, now)
    stillness.look(now, CLOSE - BOUND)
    due = CLOSE - 1
    assert stillness.settled(now + LOOK_EVERY_MS, due) == due


def test_a_message_begins_the_silence_anew_even_a_bad_one(calendar: TradingCalendar) -> None:
    now = NOON + YEARS_LATER
    stillness, watermark = after_a_trade(calendar, NOON, now)
    stillness.arrived(now + PATIENCE - 1)
    assert stillness.settled(now + PATIENCE, NOON) == watermark


def test_a_watermark_that_moves_begins_the_silence_anew(calendar: TradingCalendar) -> None:
    now = NOON + YEARS_LATER
    stillness, watermark = after_a_trade(calendar, NOON, now)
    stillness.look(now + PATIENCE - 1, watermark + 1)
    assert stillness.settled(now + PATIENCE, NOON) == watermark + 1


def test_a_live_feed_that_comes_back_within_the_bound_finds_nothing_settled_before_it(
    calendar: TradingCalendar,
) -> None:
    stillness, _ = after_a_trade(calendar, NOON, NOON)
    now = NOON + PATIENCE
    bar_end = NOON + 300_000
    assert stillness.settled(now, bar_end) == now - BOUND


def test_on_a_live_day_nothing_after_the_close_is_settled_before_its_stragglers_can_have_come(
    calendar: TradingCalendar,
) -> None:
    stillness, watermark = after_a_trade(calendar, CLOSE - 1, CLOSE)
    now = CLOSE + LOOK_EVERY_MS
    assert stillness.settled(now, CLOSE + 60_000) == max(watermark, now - BOUND) == CLOSE - 10_000


def test_the_watermark_of_the_end_of_all_input_settles_everything(calendar: TradingCalendar) -> None:
    now = NOON + YEARS_LATER
    stillness, _ = after_a_trade(calendar, NOON, now)
    stillness.look(now, 2**63 - 1)
    assert stillness.settled(now + PATIENCE, NOON) == 2**63 - 1
