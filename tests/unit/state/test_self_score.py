from __future__ import annotations

import msgpack
import numpy as np

from state.self_score import SelfScore
from state.tally import measures, tally_rows

UP = tally_rows(np.array([[0.7, 0.2, 0.1]], np.float32), np.array([0], np.int8))
DOWN = tally_rows(np.array([[0.7, 0.2, 0.1]], np.float32), np.array([2], np.int8))


def test_before_the_first_outcome_there_is_no_measure() -> None:
    assert SelfScore(3).measures()["trades"] == 0


def test_the_window_holds_the_newest_minutes_and_no_older_one() -> None:
    score = SelfScore(3)
    score.take(0, DOWN)
    score.take(1, UP)
    score.take(2, UP)
    assert score.measures()["trades"] == 3
    score.take(3, UP)
    assert (score.newest, score.measures()["trades"]) == (3, 3)
    assert score.measures()["non_flat"]["accuracy"] == 1.0


def test_minutes_without_outcomes_count_in_the_windows_length() -> None:
    score = SelfScore(3)
    for minute in (0, 1, 3, 9):
        score.take(minute, UP)
    assert score.measures()["trades"] == 1


def test_what_has_left_the_window_leaves_no_trace() -> None:
    random = np.random.default_rng(1)
    tallies = [
        tally_rows(random.dirichlet([1, 1, 1], 150).astype(np.float32), random.integers(0, 3, 150).astype(np.int8))
        for _ in range(20)
    ]
    score = SelfScore(5)
    for minute, tally in enumerate(tallies):
        score.take(minute, tally)
    assert score.measures() == measures(np.sum(tallies[15:], axis=0))


def test_a_loaded_score_goes_on_as_the_dumped_one() -> None:
    score = SelfScore(3)
    for minute in (0, 1, 2):
        score.take(minute, DOWN)
    loaded = SelfScore.load(3, msgpack.unpackb(msgpack.packb(score.dump())))
    assert loaded.measures() == score.measures()
    for each in (score, loaded):
        each.take(3, UP)
    assert loaded.measures() == score.measures()
    assert loaded.measures()["trades"] == 3


def test_a_score_that_is_loaded_into_a_shorter_window_forgets_the_rest() -> None:
    score = SelfScore(9)
    for minute in range(9):
        score.take(minute, UP)
    loaded = SelfScore.load(2, score.dump())
    loaded.take(9, UP)
    assert loaded.measures()["trades"] == 2
