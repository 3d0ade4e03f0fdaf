from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from training.examples import DayExamples
from training.train import Features
from training.tune import TuneError, tune
from udfs.manifest import BREADTH, LAST_MOVE

if TYPE_CHECKING:
    from training.fit import FitSettings

MakeDay = Callable[..., DayExamples]
FEATURES = Features(names=("signal", LAST_MOVE, BREADTH), schema="abc123")


def test_without_optuna_it_says_what_to_install(
    day_of: MakeDay, quick: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TuneError, match="needs optuna, which is not installed; add it with"):
        tune([day_of(i) for i in range(6)], FEATURES, quick, 2)


def test_settings_that_learn_nothing_are_left_behind_and_the_same_seed_finds_the_same(
    day_of: MakeDay, quick: FitSettings
) -> None:
    pytest.importorskip("optuna", reason="optuna is an extra")
    days = [day_of(i) for i in range(6)]
    hopeless = replace(quick, min_child_weight=999.0, learning_rate=0.03)  # no leaf is so heavy
    found = tune(days, FEATURES, hopeless, 4)
    assert found.min_child_weight < 999.0
    assert found == tune(days, FEATURES, hopeless, 4)
    assert (found.rounds, found.seed, found.threads) == (quick.rounds, quick.seed, quick.threads)


def test_one_trial_keeps_the_settings_as_they_are(day_of: MakeDay, quick: FitSettings) -> None:
    pytest.importorskip("optuna", reason="optuna is an extra")
    assert tune([day_of(i) for i in range(6)], FEATURES, quick, 1) == quick
