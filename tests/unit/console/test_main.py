from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from console.main import VERBS


def tickcast(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console.main", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_overview_names_every_verb() -> None:
    answer = tickcast("--help")
    assert answer.returncode == 0
    for verb in VERBS:
        assert f"\n  {verb} " in answer.stdout


def test_the_overview_imports_nothing_that_takes_long() -> None:
    program = "import sys, console.main; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert not {"pyflink", "pandas", "numpy", "kafka", "pydantic", "rich", "xgboost"} & set(modules.stdout.split())


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_is_where_the_overview_says(verb: str) -> None:
    module = importlib.import_module(VERBS[verb].module)
    assert hasattr(module, VERBS[verb].attribute)


def test_an_unknown_verb_is_refused() -> None:
    answer = tickcast("upp")
    assert answer.returncode != 0
    assert "upp" in answer.stderr


def test_a_wrong_setting_is_one_sentence_that_names_its_variable_and_not_its_value() -> None:
    answer = tickcast("status", TICKCAST_KAFKA__PARTITIONS="secret")
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert "TICKCAST_KAFKA__PARTITIONS" in answer.stderr
    assert "secret" not in answer.stderr


def test_a_setting_that_does_not_exist_is_refused() -> None:
    answer = tickcast("status", TICKCAST_KAFKA__PARTITION="4")
    assert answer.returncode == 1
    assert "TICKCAST_KAFKA__PARTITION" in answer.stderr
