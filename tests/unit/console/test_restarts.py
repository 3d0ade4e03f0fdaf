from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from console.stack.component import Component, Health
from console.stack.restarts import RestartLog, RestartPolicy, Restarts, restarts_of

if TYPE_CHECKING:
    from pathlib import Path


class Pair(Component):
    """A component of two parts."""

    def __init__(self, name: str, *parts: str) -> None:
        self.name = name
        self._parts = parts

    def start(self) -> None: ...

    def healthy(self) -> Health:
        return Health(healthy=True, detail="")

    def parts(self) -> list[Component]:
        return [Pair(part) for part in self._parts] or [self]


def delays(policy: RestartPolicy, count: int) -> list[float | None]:
    return [policy.next_delay() for _ in range(count)]


def test_the_first_restart_is_at_once_and_each_further_one_in_a_row_waits_twice_as_long() -> None:
    assert delays(RestartPolicy(first_delay_s=0.5, longest_delay_s=3.0), 6) == [0.0, 0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_too_many_restarts_in_a_row_there_is_no_further_one() -> None:
    policy = RestartPolicy(most_in_a_row=3)
    assert None not in delays(policy, 3)
    assert delays(policy, 2) == [None, None]


@pytest.mark.parametrize(("well_s", "delay_s"), [(9.9, 0.5), (10.0, 0.0)])
def test_a_row_ends_when_the_part_has_done_its_work_for_ten_seconds(well_s: float, delay_s: float) -> None:
    policy = RestartPolicy(first_delay_s=0.5)
    policy.next_delay()
    policy.well(100.0)
    policy.well(100.0 + well_s)
    assert policy.next_delay() == delay_s


def test_time_before_a_failure_does_not_count_as_time_after_it() -> None:
    policy = RestartPolicy(first_delay_s=0.5)
    policy.well(0.0)
    policy.well(60.0)
    policy.next_delay()
    policy.well(61.0)
    assert policy.next_delay() == 0.5


def test_the_record_outlives_the_supervisor_and_is_counted_by_part(tmp_path: Path) -> None:
    RestartLog(tmp_path).restarted("kafka", "its process was gone")
    RestartLog(tmp_path).restarted("kafka", "it did not do its work")
    RestartLog(tmp_path).gave_up("redis", "given up")
    found = RestartLog(tmp_path).read()
    assert (found["kafka"].count, found["kafka"].last_reason) == (2, "it did not do its work")
    assert (found["redis"].count, found["redis"].given_up) == (0, "given up")
    RestartLog(tmp_path).clear()
    assert RestartLog(tmp_path).read() == {}


def test_the_restarts_of_a_component_are_those_of_all_its_parts() -> None:
    entries = {
        "jobmanager": Restarts(1, "killed", "2024-07-02T11:00:00+00:00", given_up="given up"),
        "taskmanager": Restarts(2, "hung", "2024-07-02T11:00:05+00:00"),
        "kafka": Restarts(7, "killed", "2024-07-02T12:00:00+00:00"),
    }
    expected = Restarts(3, "hung", "2024-07-02T11:00:05+00:00", given_up="given up")
    assert restarts_of(Pair("flink", "jobmanager", "taskmanager"), entries) == expected
    assert restarts_of(Pair("redis"), entries) == Restarts()
