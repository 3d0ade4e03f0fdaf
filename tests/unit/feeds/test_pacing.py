"""The pace of a replay, with a clock that the test moves."""

import pytest

from feeds.pacing import Pacer, parse_speed


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_tick_is_due_at_once() -> None:
    assert Pacer(1, Clock()).delay(1_700_000_000_000) == 0


def test_a_real_gap_is_kept_at_speed_one() -> None:
    pacer = Pacer(1, Clock())
    pacer.delay(10_000)
    assert pacer.delay(12_500) == pytest.approx(2.5)


def test_a_gap_shrinks_by_the_speed() -> None:
    pacer = Pacer(50, Clock())
    pacer.delay(0)
    assert pacer.delay(60_000) == pytest.approx(1.2)


def test_time_that_was_spent_otherwise_is_not_waited_for_again() -> None:
    clock = Clock()
    pacer = Pacer(1, clock)
    pacer.delay(0)
    clock.now += 3
    assert pacer.delay(5_000) == pytest.approx(2)
    clock.now += 10
    assert pacer.delay(6_000) == 0, "behind the market: no waiting until it is caught up with"
    assert pacer.delay(14_000) == pytest.approx(1)


def test_a_straggler_follows_its_predecessor_at_once_and_does_not_set_the_clock_back() -> None:
    clock = Clock()
    pacer = Pacer(1, clock)
    pacer.delay(0)
    clock.now += pacer.delay(10_000)
    assert pacer.delay(4_000) == 0
    assert pacer.delay(11_000) == pytest.approx(1)


def test_speed_max_keeps_no_gaps() -> None:
    assert parse_speed("max") is None


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_speed_that_is_none_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="give 'max' or a number above 0"):
        parse_speed(text)
