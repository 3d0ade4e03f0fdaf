from __future__ import annotations

import os
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


def submit(record: JobRecord, root: Path, start: str = "") -> None:
    """As a job ``a1`` whose checkpoints go below a folder."""
    record.submitted("a1", start, 4, checkpoints=root.as_uri(), savepoints=(root / "savepoints").as_uri())


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
    submit(record, root, START)
    assert record.latest_state() == newest.as_uri()
    assert record.expected_to_run()


def test_a_job_lost_before_its_first_checkpoint_starts_where_it_had_started(record: JobRecord, tmp_path: Path) -> None:
    submit(record, tmp_path, START)
    assert record.latest_state() == START


def test_a_stopped_job_goes_on_from_its_savepoint_and_is_not_missed(record: JobRecord, tmp_path: Path) -> None:
    submit(record, tmp_path)
    record.stopped(START)
    assert record.latest_state() == START
    assert not record.expected_to_run()


def test_checkpoints_that_cannot_be_listed_have_to_be_named(record: JobRecord) -> None:
    record.submitted("a1", "", 4, checkpoints="s3://bucket/checkpoints", savepoints="s3://bucket/savepoints")
    with pytest.raises(CommandError, match=r"s3://bucket/checkpoints.*--from-savepoint.*--fresh"):
        record.latest_state()


def test_a_savepoint_that_nobody_noted_counts_if_it_is_the_newest(record: JobRecord, tmp_path: Path) -> None:
    old, noted_by_nobody = tmp_path / "a1" / "chk-7", tmp_path / "savepoints" / "savepoint-a1-0f"
    submit(record, tmp_path)
    for age, folder in enumerate((noted_by_nobody, old)):
        folder.mkdir(parents=True)
        (folder / "_metadata").touch()
        os.utime(folder / "_metadata", (1_000 - age, 1_000 - age))
    assert record.latest_state() == noted_by_nobody.as_uri()
    newer = checkpoint(tmp_path, "a1", 8)
    assert record.latest_state() == newer.as_uri()


def test_a_submission_that_the_cluster_does_not_know_of_changes_nothing(record: JobRecord, tmp_path: Path) -> None:
    record.stopped(START)
    before = record.read()
    submit(record, tmp_path)
    record.withdrawn(before)
    assert record.latest_state() == START
    assert not record.expected_to_run()
