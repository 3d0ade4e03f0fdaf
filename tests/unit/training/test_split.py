from __future__ import annotations

import pytest

from training.days import DataError
from training.split import split_days, walk_forward


def test_the_latest_tenth_of_the_days_tunes() -> None:
    fit, tuning = split_days(range(50))
    assert (list(fit), list(tuning)) == (list(range(45)), list(range(45, 50)))


def test_of_two_days_the_second_tunes() -> None:
    assert split_days(["monday", "tuesday"]) == (["monday"], ["tuesday"])


def test_one_day_is_too_few_to_train() -> None:
    with pytest.raises(DataError, match="at least two days"):
        split_days(["monday"])


def test_a_walk_forward_tests_every_part_but_the_first_on_days_before_it() -> None:
    steps = [(list(seen), list(unseen)) for seen, unseen in walk_forward(range(11), 3)]
    assert steps == [
        ([0, 1, 2, 3, 4], [5, 6]),
        ([0, 1, 2, 3, 4, 5, 6], [7, 8]),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], [9, 10]),
    ]


def test_a_walk_forward_of_more_steps_than_days_is_refused() -> None:
    with pytest.raises(DataError, match="3 days are too few for a walk forward of 3 steps"):
        list(walk_forward(range(3), 3))
