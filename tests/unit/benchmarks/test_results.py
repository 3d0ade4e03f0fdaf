"""Rounds to medians, ratios and percentiles."""

from __future__ import annotations

import pytest

from benchmarks.check import Comparison
from benchmarks.results import Rounds, cost, percentiles, ratios, turns
from benchmarks.suite import scaling_of
from benchmarks.throughput import Throughput


def _run(rate: float) -> Throughput:
    return Throughput(rate, 100, 80, 1.0, 2.0, 30.0, 200.0)


def test_the_median_round_counts_and_the_ratio_is_that_of_the_medians() -> None:
    rounds = Rounds(runs={"tickcast": [_run(10), _run(40), _run(20)], "faust": [_run(2), _run(5), _run(4)]})
    result = rounds.as_json()
    assert result["ticks_per_s"] == {"tickcast": 20, "faust": 4}
    assert result["ratios"] == {"faust": 5.0}
    assert [one["ticks_per_s"] for one in result["rounds"]["tickcast"]] == [10, 40, 20]


def test_a_contestant_that_cannot_run_is_an_error_with_its_reason_not_a_figure() -> None:
    result = Rounds(runs={"tickcast": [_run(10)], "spark": []}, errors={"spark": "no jars"}).as_json()
    assert "spark" not in result["ticks_per_s"]
    assert "spark" not in result["ratios"]
    assert result["errors"] == {"spark": "no jars"}


def test_without_tickcast_there_are_no_ratios() -> None:
    assert ratios({"faust": 3.0}) == {}


def test_each_round_begins_with_another_contestant_and_leaves_none_out() -> None:
    names = ["a", "b", "c"]
    assert [turns(names, number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert sorted(turns(names, 2)) == names


def test_percentiles_are_latencies_that_did_occur() -> None:
    assert percentiles([float(value) for value in range(1000, 0, -1)]) == {
        "ticks": 1000, "p50": 500.0, "p90": 900.0, "p99": 990.0, "p99_9": 999.0, "max": 1000.0,
    }  # fmt: skip
    assert percentiles([7.0])["p99"] == 7.0
    assert percentiles([]) == {"ticks": 0}


def test_cost_is_the_part_that_is_lost() -> None:
    assert cost(100.0, 80.0) == 0.2


def test_scaling_compares_what_was_measured_and_nothing_else() -> None:
    scaling = scaling_of({"one_slot": [10.0, 12.0, 11.0], "two_slots": [22.0], "symbols_3": [5.0]})
    assert scaling == {"ticks_per_s": {"one_slot": 11.0, "two_slots": 22.0, "symbols_3": 5.0}, "two_slots_by_one": 2.0}


@pytest.mark.parametrize(
    ("comparison", "passes"),
    [
        (Comparison(10, 0, 0, 10, 0.0), True),
        (Comparison(10, 0, 0, 0, 1e-7), True),
        (Comparison(10, 0, 0, 0, 1e-3), False),
        (Comparison(10, 1, 0, 10, 0.0), False),
        (Comparison(10, 0, 1, 10, 0.0), False),
        (Comparison(10, 0, 1, 10, 0.0, may_double=True), True),
        (Comparison(0, 0, 0, 0, 0.0), False),
    ],
)
def test_the_same_answers_once_each_pass(comparison: Comparison, *, passes: bool) -> None:
    assert comparison.passed is passes
