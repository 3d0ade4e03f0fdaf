from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from jobs.start import START_OPTION, start_line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_without_the_option_flink_knows_where_the_job_starts() -> None:
    assert start_line([]) == ""


@pytest.mark.parametrize("start", ["file:///checkpoints/chk-17", ""])
def test_the_state_to_start_from_comes_through_the_pipe(pipe: Path, start: str) -> None:
    held = os.open(pipe, os.O_RDWR)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(start_line([START_OPTION, str(pipe)])))
    reader.start()
    os.write(held, f"{start}\n".encode())
    reader.join(10)
    os.close(held)
    assert found == [start]


def test_a_program_ends_with_whoever_would_have_said_from_where_it_starts(pipe: Path) -> None:
    held = os.open(pipe, os.O_RDWR)
    ended: list[SystemExit] = []

    def wait() -> None:
        try:
            start_line([START_OPTION, str(pipe)])
        except SystemExit as end:
            ended.append(end)

    reader = threading.Thread(target=wait)
    reader.start()
    os.close(held)  # before the program comes to wait, or while it waits
    reader.join(10)
    assert [str(end) for end in ended] == ["nobody is left to say from which state the job starts"]
