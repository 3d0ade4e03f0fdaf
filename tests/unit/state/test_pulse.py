from __future__ import annotations

from state.pulse import Pulse


class Service:
    """Keeps one timer for a moment, as Flink does."""

    def __init__(self) -> None:
        self.timers: set[int] = set()

    def register_processing_time_timer(self, timestamp: int) -> None:
        self.timers.add(timestamp)


def test_two_beats_are_always_ahead_and_they_are_not_set_in_the_same_moment() -> None:
    service, pulse = Service(), Pulse(5_000)
    pulse.keep(service, 101_000)
    assert service.timers == {105_000, 110_000}
    for beat in (105_000, 110_000, 115_000):
        service.timers.remove(beat)
        before = service.timers.copy()
        pulse.keep(service, beat)
        assert service.timers - before == {beat + 10_000}, "the next one was under way already"
        assert len(service.timers) == 2


def test_every_element_between_two_beats_sets_nothing_more() -> None:
    service, pulse = Service(), Pulse(5_000)
    for now in range(101_000, 105_000, 100):
        pulse.keep(service, now)
    assert service.timers == {105_000, 110_000}


def test_workers_after_restarts_fall_into_the_same_beat() -> None:
    service = Service()
    for restart in range(10):
        Pulse(5_000).keep(service, 101_000 + restart)
    assert service.timers == {105_000, 110_000}


def test_a_beat_that_comes_late_is_followed_by_two_ahead_of_the_clock() -> None:
    service, pulse = Service(), Pulse(5_000)
    pulse.keep(service, 101_000)
    service.timers.clear()
    pulse.keep(service, 163_000)
    assert service.timers == {165_000, 170_000}
