from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from console.errors import CommandError
from console.reference import DOCUMENTS, refreshed, rewrite, setting_variables
from jobs.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_generated_tables_are_those_of_the_code(name: str) -> None:
    text = (PROJECT_ROOT / name).read_text("utf-8")
    assert text == refreshed(text), f"{name} is out of date: run `.venv/bin/python -m console.reference`"


def test_every_page_with_a_generated_table_is_brought_up_to_date() -> None:
    pages = [PROJECT_ROOT / "README.md", *(PROJECT_ROOT / "docs").rglob("*.md")]
    marked = {str(page.relative_to(PROJECT_ROOT)) for page in pages if "<!-- generated" in page.read_text("utf-8")}
    assert marked == set(DOCUMENTS)


def test_a_page_that_fell_behind_is_rewritten_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in DOCUMENTS:
        shutil.copy(PROJECT_ROOT / name, tmp_path / name)
    rewrite(tmp_path)
    current = (tmp_path / "README.md").read_text("utf-8")
    (tmp_path / "README.md").write_text(current.replace("`TICKCAST_KAFKA__PARTITIONS` | `4`", "| `7`"), "utf-8")

    assert rewrite(tmp_path) == ["README.md"]

    assert (tmp_path / "README.md").read_text("utf-8") == current


def test_what_stands_around_a_table_is_kept() -> None:
    text = "before\n<!-- generated: topics -->\nold\n<!-- end -->\nafter\n<!-- generated: verbs -->\n<!-- end -->\n"
    fresh = refreshed(text)
    assert fresh.startswith("before\n<!-- generated: topics -->\n\n| topic ")
    assert "\n<!-- end -->\nafter\n<!-- generated: verbs -->\n\n| " in fresh
    assert "old" not in fresh


def test_a_table_that_nobody_makes_is_refused() -> None:
    with pytest.raises(CommandError, match="no generated table 'weather'; take one of settings"):
        refreshed("<!-- generated: weather -->\n<!-- end -->")


def test_a_variable_of_the_settings_table_sets_that_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = dict(setting_variables())
    assert variables["TICKCAST_EVENT_TIME__OUT_OF_ORDERNESS_S"].default == 15
    monkeypatch.setenv("TICKCAST_EVENT_TIME__OUT_OF_ORDERNESS_S", "3")
    assert Settings().event_time.out_of_orderness_s == 3


def test_no_default_of_the_settings_table_names_a_folder_of_the_machine_that_made_it() -> None:
    table = refreshed("<!-- generated: settings -->\n<!-- end -->")
    assert not re.search(r"`/", table)
    assert "`model_artifacts`" in table
