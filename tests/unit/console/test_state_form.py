from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from console.errors import CommandError
from console.state_form import OPERATORS, StateForm, leaves_behind, note_form, present_form, require_readable
from jobs.settings import PROJECT_ROOT
from state import codec

if TYPE_CHECKING:
    from pathlib import Path

PRESENT = StateForm(codec.VERSION, "process", OPERATORS)


def test_the_present_form_is_that_of_the_code_and_of_flinks_configuration(tmp_path: Path) -> None:
    assert present_form(PROJECT_ROOT / "flink-conf") == PRESENT
    (tmp_path / "config.yaml").write_text("python.execution-mode: thread\n")
    assert present_form(tmp_path) == replace(PRESENT, execution_mode="thread")


def test_a_savepoint_of_the_same_form_is_taken(tmp_path: Path) -> None:
    savepoint = (tmp_path / "savepoint 1").as_uri()
    note_form(savepoint, PRESENT)
    require_readable(savepoint, PRESENT)


def test_a_state_without_a_note_is_left_to_flink(tmp_path: Path) -> None:
    require_readable((tmp_path / "savepoint-1").as_uri(), PRESENT)
    note_form("s3://bucket/savepoint-1", replace(PRESENT, execution_mode="thread"))
    require_readable("s3://bucket/savepoint-1", PRESENT)


def test_another_execution_mode_is_refused_with_the_remedy(tmp_path: Path) -> None:
    savepoint = str(tmp_path / "savepoint-1")
    note_form(savepoint, replace(PRESENT, execution_mode="thread"))
    with pytest.raises(CommandError, match=r"thread and would be restored empty with process.*config\.yaml back"):
        require_readable(savepoint, PRESENT)


def test_a_checkpoint_has_the_form_noted_for_all_of_its_jobs(tmp_path: Path) -> None:
    note_form((tmp_path / "job").as_uri(), replace(PRESENT, state_version=codec.VERSION + 1))
    with pytest.raises(CommandError, match=f"has form {codec.VERSION + 1} and this tickcast reads form"):
        require_readable((tmp_path / "job" / "chk-7").as_uri(), PRESENT)


def test_what_operators_had_that_are_gone_is_left_behind_by_a_savepoint_and_nothing_else(tmp_path: Path) -> None:
    former, present = ((tmp_path / name).as_uri() for name in ("former", "present"))
    note_form(former, replace(PRESENT, operators=1))
    note_form(present, PRESENT)
    require_readable(former, PRESENT)
    assert leaves_behind(former)
    assert not leaves_behind(present)
    assert not leaves_behind((tmp_path / "without a note").as_uri())


def test_a_checkpoint_whose_results_could_not_be_committed_any_more_is_refused(tmp_path: Path) -> None:
    job = (tmp_path / "job").as_uri()
    note_form(job, replace(PRESENT, operators=1))
    require_readable(job, PRESENT)
    with pytest.raises(CommandError, match=r"not committed yet.*`tickcast stop`"):
        require_readable(f"{job}/chk-7", PRESENT)
