"""Submitting, stopping and refusing a job on a real cluster, with a real broker to count what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.job import job_health, stop_job, submit_job, with_parallelism
from console.job_record import JobRecord
from console.state_form import StateForm, note_form
from state import codec

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.settings import Settings

pytestmark = pytest.mark.timeout(300)


def test_a_job_runs_once_and_goes_on_from_its_savepoint_at_another_parallelism_but_not_as_another_job(
    settings: Settings,
    tick: Callable[[range], None],
    await_copied: Callable[[int], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tick(range(10))
    submit_job(settings)
    assert job_health(settings).healthy
    assert await_copied(10) == list(range(10))
    with pytest.raises(CommandError, match="already runs"):
        submit_job(settings)

    savepoint = stop_job(settings)
    assert job_health(settings).detail == "not submitted"
    tick(range(10, 20))
    assert JobRecord(settings.home).latest_state() == savepoint
    with monkeypatch.context() as patch:
        patch.setattr("console.flink_run.PROGRAM", Path(__file__).with_name("changed_job.py"))
        with pytest.raises(CommandError, match="holds an operator that this job no longer has"):
            submit_job(settings, savepoint)
    assert JobRecord(settings.home).latest_state() == savepoint
    job = submit_job(with_parallelism(settings, 4), savepoint)

    assert sum(FlinkRest(settings.flink.rest_address).task_states(job.id).values()) % 4 == 0
    assert await_copied(20) == list(range(20))


def test_a_savepoint_that_does_not_exist_is_named_and_is_not_what_the_next_job_starts_from(settings: Settings) -> None:
    before = JobRecord(settings.home).read()
    with pytest.raises(CommandError, match=r"/no/such/savepoint"):
        submit_job(settings, "/no/such/savepoint")
    assert JobRecord(settings.home).read() == before


def test_more_parallel_subtasks_than_slots_are_refused_with_the_remedy(settings: Settings) -> None:
    with pytest.raises(CommandError, match="TICKCAST_STACK__TASK_SLOTS"):
        submit_job(with_parallelism(settings, 99))


def test_a_state_of_another_execution_mode_is_refused_before_anything_is_submitted(
    settings: Settings, tmp_path: Path
) -> None:
    before = JobRecord(settings.home).read()
    savepoint = (tmp_path / "savepoint").as_uri()
    note_form(savepoint, StateForm(codec.VERSION, "thread"))
    with pytest.raises(CommandError, match="would be restored empty"):
        submit_job(settings, savepoint)
    assert JobRecord(settings.home).read() == before
