"""What holds for the pace of any replay."""

from hypothesis import given
from hypothesis import strategies as st

from feeds.pacing import Pacer

EVENT_TIMES = st.lists(st.integers(0, 10**8), min_size=1, max_size=50)


@given(EVENT_TIMES, st.floats(0.1, 1000), st.lists(st.floats(0, 100), min_size=50, max_size=50))
def test_a_tick_is_never_early_and_late_only_by_what_sending_took(
    event_times: list[int], speed: float, sending: list[float]
) -> None:
    now = 0.0
    pacer = Pacer(speed, lambda: now)
    behind = 0.0
    for event_time, took, newest in zip(
        event_times, sending, (max(event_times[: n + 1]) for n in range(len(event_times))), strict=False
    ):
        now += pacer.delay(event_time)
        due = (newest - event_times[0]) / 1000 / speed
        tolerance = 1e-9 * max(1.0, due)
        assert now >= due - tolerance
        assert now <= max(due, behind) + tolerance
        now += took
        behind = now
