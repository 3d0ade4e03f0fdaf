"""The open-loop load, and latencies from when a tick was due."""

from __future__ import annotations

from benchmarks.data import Shape, ticks_of_shape
from benchmarks.latency import latencies
from benchmarks.load import due_times, number_of, numbered, send_on_time
from state.tick import Tick

TICKS = [Tick("NABIL", 500.0, 10, 0, f"2024072101{number:06d}") for number in range(4)]


class Clock:
    """A clock that moves only when someone waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_tick_is_sent_when_it_is_due_and_traded_at_that_moment() -> None:
    clock, sent = Clock(), []
    late = send_on_time(
        TICKS, due_times(4, 2.0, 101.0), lambda tick: sent.append((clock.now, tick)), clock, clock.sleep
    )
    assert [at for at, _ in sent] == [101.0, 101.5, 102.0, 102.5]
    assert [tick.event_time for _, tick in sent] == [101_000, 101_500, 102_000, 102_500]
    assert late == [0.0, 0.0, 0.0, 0.0]


def test_a_stall_of_the_sender_moves_no_due_time() -> None:
    clock = Clock()

    def send(tick: Tick) -> None:
        if tick.event_time == 101_000:
            clock.now += 1.0

    late = send_on_time(TICKS, due_times(4, 2.0, 101.0), send, clock, clock.sleep)
    assert late == [1.0, 0.5, 0.0, 0.0]


def test_a_tick_is_known_again_by_its_number() -> None:
    assert [number_of(tick.trade_id or "") for tick in numbered(TICKS)] == [0, 1, 2, 3]
    assert {(tick.trade_id or "")[:10] for tick in numbered(TICKS)} == {"2024072101"}


def test_latency_counts_from_when_the_tick_was_due_and_what_never_came_is_told() -> None:
    result = latencies({0: 10.0, 1: 10.5, 2: 11.0}, {0: 10.1, 1: 10.5, 7: 99.0})
    assert (result["ticks"], result["missing"], result["max"]) == (2, 1, 100.0)


def test_the_data_come_at_the_asked_rate_and_half_of_them_are_the_hot_symbols() -> None:
    ticks = ticks_of_shape(Shape(30, 2_000, hot=True), rate=100.0)
    times = [tick.event_time for tick in ticks]
    assert len(ticks) == 2_000
    assert max(times) - min(times) <= 20_000
    assert sum(tick.symbol == "HOT" for tick in ticks) == 1_000
    assert len({(tick.symbol, tick.trade_id) for tick in ticks}) == 2_000
