"""How the demo paces and times a day, on a clock that the test moves."""

from __future__ import annotations

from datetime import datetime

import pytest

from console.demo_report import percentiles
from console.demo_watch import Portion, TickName, answers_to
from feeds.source import RawMessage
from jobs.settings import Settings
from state.rules import TradingCalendar, load_rules
from state.tick import Tick

NOON = int(datetime.fromisoformat("2024-07-02T12:00:00+05:45").timestamp() * 1000)
DAY_MS = 86_400_000


class Clock:
    """Stands still unless somebody waits or works."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def tick(number: int, trade_id: str | None = None, time: int = NOON) -> Tick:
    return Tick("NABIL", 500.0, 10, time + number, trade_id or f"{number}")


def name(of: Tick) -> TickName:
    return TickName(of.symbol, of.trade_id, of.event_time)


@pytest.fixture
def calendar() -> TradingCalendar:
    return TradingCalendar(load_rules(Settings().market.rules_file))


def test_a_portion_gives_its_messages_in_order_and_at_its_rate() -> None:
    clock = Clock()
    messages = [tick(number) for number in range(4)]
    given = [(message, clock.now) for message in Portion(messages, per_second=10, clock=clock, sleep=clock.pass_by)]
    assert [message for message, _ in given] == messages
    assert [now for _, now in given] == pytest.approx([1000.0, 1000.1, 1000.2, 1000.3])


def test_a_portion_without_a_rate_waits_for_nothing() -> None:
    clock = Clock()
    portion = Portion([tick(0), tick(1)], clock=clock, sleep=clock.pass_by)
    assert list(portion) == [tick(0), tick(1)]
    assert (clock.now, portion.sent_at) == (1000.0, {})


def test_a_sender_that_stalls_does_not_make_the_way_look_shorter() -> None:
    clock = Clock()
    portion = Portion([tick(number) for number in range(4)], per_second=10, clock=clock, sleep=clock.pass_by)
    for _ in portion:
        clock.pass_by(0.25)
    dues = [portion.sent_at[name(tick(number))] for number in range(4)]
    assert dues == pytest.approx([1000.0, 1000.1, 1000.2, 1000.3])
    assert clock.now == pytest.approx(1001.0)


def test_only_the_first_of_repeated_ticks_is_timed_and_a_malformed_message_never() -> None:
    clock = Clock()
    malformed = RawMessage(b"NABIL", b"?", NOON)
    portion = Portion([tick(0), malformed, tick(0)], per_second=10, clock=clock, sleep=clock.pass_by)
    assert len(list(portion)) == 3
    assert portion.sent_at == {name(tick(0)): 1000.0}


def test_repeated_trades_have_no_answer_of_their_own(calendar: TradingCalendar) -> None:
    malformed = RawMessage(b"NABIL", b"?", NOON)
    assert answers_to([tick(0), tick(1), tick(0), malformed, malformed], calendar) == 4


def test_a_trade_of_another_symbol_or_day_is_no_repetition_whatever_its_id(calendar: TradingCalendar) -> None:
    messages = [tick(0, "7"), tick(0, "7")._replace(symbol="HDL"), tick(0, "7", NOON + DAY_MS)]
    assert answers_to(messages, calendar) == 3


def test_trades_without_an_id_are_never_repetitions(calendar: TradingCalendar) -> None:
    anonymous = tick(0)._replace(trade_id=None)
    assert answers_to([anonymous, anonymous], calendar) == 2


def test_percentiles_are_those_of_the_ticks_that_have_arrived_in_ms() -> None:
    sent = {name(tick(number)): 1000.0 for number in range(101)}
    arrived = {name(tick(number)): 1000.0 + number / 1000 for number in range(100)}
    assert percentiles(sent, arrived) == {"ticks": 100, "p50": 49.5, "p99": 98.0}


def test_percentiles_of_nothing_are_not_made_up() -> None:
    assert percentiles({name(tick(0)): 1000.0}, {}) == {"ticks": 0}
