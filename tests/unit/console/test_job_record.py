from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from console.errors import CommandError
from console.job_record import JobRecord

if TYPE_CHECKING:
    from pathlib import Path

START = "file:///savepoints/savepoint-1"


@pytest.fixture
def record(tmp_path: Path) -> JobRecord:
    return JobRecord(tmp_path)


def checkpoint(root: Path, job: str, number: int, *, complete: bool = True) -> Path:
    folder = root / job / f"chk-{number}"
    folder.mkdir(parents=True)
    if complete:
        (folder / "_metadata").touch()
    return folder


def test_a_job_that_never_ran_starts_without_state(record: JobRecord) -> None:
    assert record.latest_state() == ""
    assert not record.expected_to_run()


def test_a_lost_job_goes_on_from_its_newest_complete_checkpoint(record: JobRecord, tmp_path: Path) -> None:
    root = tmp_path / "check points"
    checkpoint(root, "a1", 9)
    newest = checkpoint(root, "a1", 10)
    checkpoint(root, "a1", 11, complete=False)
    checkpoint(root, "another", 99)
    record.submitted("a1", root.as_uri(), START)
    assert record.latest_state() == newest.as_uri()
    assert record.expected_to_run()


def test_a_job_lost_before_its_first_checkpoint_starts_where_it_had_started(record: JobRecord, tmp_path: Path) -> None:
    record.submitted("a1", tmp_path.as_uri(), START)
    assert record.latest_state() == START


def test_a_stopped_job_goes_on_from_its_savepoint_and_is_not_missed(record: JobRecord, tmp_path: Path) -> None:
    record.submitted("a1", tmp_path.as_uri(), "")
    record.stopped(START)
    assert record.latest_state() == START
    assert not record.expected_to_run()


def test_checkpoints_that_cannot_be_listed_have_to_be_named(record: JobRecord) -> None:
    record.submitted("a1", "s3://bucket/checkpoints", "")
    with pytest.raises(CommandError, match=r"s3://bucket/checkpoints.*--from-savepoint.*--fresh"):
        record.latest_state()
