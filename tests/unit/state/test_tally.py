from __future__ import annotations

import math

import numpy as np
import pytest

from state.tally import DIRECTION_BINS, OUTCOMES, SIZE, measures, tally_rows
from training.metrics import measure
from udfs.manifest import CLASSES


def said_and_came(trades: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that tell something, and what came."""
    random = np.random.default_rng(seed)
    said = random.dirichlet([1.2, 2.0, 1.2], trades).astype(np.float32)
    came = (random.random((trades, 1)) > said.cumsum(axis=1)[:, :2]).sum(axis=1).astype(np.int8)
    return said, came


def test_the_outcomes_are_the_models_classes() -> None:
    assert OUTCOMES == CLASSES


def test_the_measures_are_those_of_evaluate() -> None:
    said, came = said_and_came(20_000)
    ours, theirs = measures(tally_rows(said, came)), measure(said, came)
    assert ours["trades"] == theirs["trades"]
    assert ours["ece_p_up"] == pytest.approx(theirs["ece_p_up"], abs=1e-9)
    for name, value in theirs["three_class"].items():
        assert ours["three_class"][name] == pytest.approx(value, abs=1e-9), name
    for name in ("trades", "accuracy", "log_loss"):
        assert ours["non_flat"][name] == pytest.approx(theirs["non_flat"][name], abs=1e-9), name
    assert ours["non_flat"]["auc"] == pytest.approx(theirs["non_flat"]["auc"], abs=1e-5)
    assert ours["non_flat"]["top_decile_precision"] == pytest.approx(
        theirs["non_flat"]["top_decile_precision"], abs=2e-3
    )


def test_the_area_under_the_curve_is_off_by_less_than_half_of_the_pairs_that_share_a_bin() -> None:
    # All within one bin, every rise above every fall: the worst that can be.
    p_up = (0.5 + np.arange(10) / 10 / DIRECTION_BINS).astype(np.float32)
    said = np.column_stack([p_up, np.zeros(10, np.float32), 1 - p_up]).astype(np.float32)
    came = np.array([2] * 5 + [0] * 5, np.int8)
    assert measure(said, came)["non_flat"]["auc"] == 1.0
    assert measures(tally_rows(said, came))["non_flat"]["auc"] == 0.5


def test_tallies_add_up() -> None:
    said, came = said_and_came(1000)
    parts = tally_rows(said[:300], came[:300]) + tally_rows(said[300:], came[300:])
    np.testing.assert_array_equal(parts, tally_rows(said, came))


def test_a_certain_and_an_impossible_outcome_fit_into_the_bins() -> None:
    measured = measures(tally_rows(np.array([[1.0, 0.0, 0.0]] * 2, np.float32), np.array([0, 2], np.int8)))
    assert measured["non_flat"]["accuracy"] == 0.5
    assert 17 < measured["non_flat"]["log_loss"] < 18  # half of -ln 1e-15
    assert measured["ece_p_up"] == 0.5


def test_naive_rules_are_measured_on_the_trades_that_moved() -> None:
    said = np.array([[0.5, 0.2, 0.3]] * 4, np.float32)
    naive = np.array([[0.4, 0.7, 1.0], [0.4, 0.7, 0.0], [0.4, 0.5, 0.5], [0.4, 0.7, 1.0]])
    baselines = measures(tally_rows(said, np.array([0, 2, 0, 1], np.int8), naive))["baselines"]
    assert baselines == {
        "majority": {"accuracy": pytest.approx(1 / 3)},
        "last_move_sign": {"accuracy": 0.5},
        "market_breadth_sign": {"accuracy": pytest.approx(2.5 / 3)},
    }


def test_without_naive_rules_none_is_measured() -> None:
    said, came = said_and_came(100)
    assert measures(tally_rows(said, came))["baselines"] == {}


def test_of_no_outcome_nothing_is_known() -> None:
    measured = measures(np.zeros(SIZE, np.int64))
    assert measured["trades"] == 0
    assert math.isnan(measured["non_flat"]["auc"])
    assert math.isnan(measured["three_class"]["macro_f1"])
    assert math.isnan(measured["ece_p_up"])
