from __future__ import annotations

import numpy as np
import pytest

from state.self_score import ScoreVersionError, SelfScore
from state.tally import OUTCOMES, Outcome, measures, tally

UP = Outcome(0.7, 0.2, 0.1, "up")
DOWN = Outcome(0.7, 0.2, 0.1, "down")
MINUTE = 60_000


def test_before_the_first_outcome_there_is_no_span_and_no_measure() -> None:
    score = SelfScore()
    assert score.span is None
    assert score.measures()["trades"] == 0


def test_the_window_holds_the_newest_slices_and_no_older_one() -> None:
    score = SelfScore(window_ms=3 * MINUTE)
    score.add(0, DOWN)
    score.add(MINUTE, UP)
    score.add(3 * MINUTE - 1, UP)
    assert (score.span, score.measures()["trades"]) == ((0, 3 * MINUTE), 3)
    score.add(3 * MINUTE, UP)
    assert (score.span, score.measures()["trades"]) == ((MINUTE, 4 * MINUTE), 3)
    assert score.measures()["non_flat"]["accuracy"] == 1.0


def test_an_outcome_that_comes_out_of_order_counts_and_one_older_than_the_window_does_not() -> None:
    score = SelfScore(window_ms=2 * MINUTE)
    for time in (5 * MINUTE, 4 * MINUTE, 4 * MINUTE - 1):
        score.add(time, UP)
    assert score.measures()["trades"] == 2


def test_what_has_left_the_window_leaves_no_trace() -> None:
    random = np.random.default_rng(1)
    outcomes = [
        (int(time), Outcome(*row, OUTCOMES[came]))
        for time, row, came in zip(
            np.sort(random.integers(0, 20 * MINUTE, 3000)),
            random.dirichlet([1, 1, 1], 3000).tolist(),
            random.integers(0, 3, 3000),
            strict=True,
        )
    ]
    score = SelfScore(window_ms=5 * MINUTE)
    for time, outcome in outcomes:
        score.add(time, outcome)
    start, end = score.span or (0, 0)
    assert score.measures() == measures(tally(outcome for time, outcome in outcomes if start <= time < end))


def test_a_loaded_score_goes_on_as_the_dumped_one() -> None:
    score = SelfScore(window_ms=3 * MINUTE)
    for time in (0, 30_000, 2 * MINUTE):
        score.add(time, DOWN)
    loaded = SelfScore.load(score.dump())
    assert (loaded.span, loaded.measures()) == (score.span, score.measures())
    for each in (score, loaded):
        each.add(3 * MINUTE, UP)
    assert loaded.measures() == score.measures()
    assert loaded.measures()["trades"] == 2


def test_an_empty_score_can_be_dumped() -> None:
    assert SelfScore.load(SelfScore().dump()).span is None


@pytest.mark.parametrize("data", [b"", b"\x07" + SelfScore().dump()[1:]])
def test_a_score_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(ScoreVersionError, match="this tickcast reads form"):
        SelfScore.load(data)


def test_a_window_that_is_no_multiple_of_its_slices_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        SelfScore(window_ms=90_000, slice_ms=60_000)
