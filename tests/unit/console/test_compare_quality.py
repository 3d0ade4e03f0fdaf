"""Scores and drift alerts, right ones and wrong ones, against what the outcomes say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from console.compare_quality import compare_drifts, compare_scores, golden_quality, straggling_minutes
from state.drift import DriftBaseline
from state.quality_watch import MINUTE_MS, SETTLED_MS, Part, QualityWatch
from state.rules import DriftRule
from state.sparse import Sparse
from state.tally import tally_rows

if TYPE_CHECKING:
    from console.compare_quality import GoldenQuality
    from console.verdict import TopicVerdict

Json = dict[str, Any]

SCORE_MINUTES = 12
ROW = {"edges": [0.5], "shares": [0.5, 0.5], "missing": 0.0, "ordinary_psi": 0.0}
BASELINE = DriftBaseline({"features": {"x": ROW}, "probabilities": {"up": ROW}}, ("x",))
MINUTES = 30
"""Of outcomes; from the first on they are not distributed as the baseline."""
FIRST = 28_000_000
END_MS = (FIRST + MINUTES) * MINUTE_MS


def part(minute: int) -> Part:
    said = np.random.default_rng(minute).dirichlet([1, 1, 1], 20).astype(np.float32)
    counts = BASELINE.counts(np.full((20, 1), 0.9, np.float32), said[:, 0])
    tally = Sparse.of(tally_rows(said, np.arange(20, dtype=np.int8) % 3))
    return Part("v1", "active", minute, 20, tally, Sparse.of(counts.reshape(-1)))


def golden_of(found: list[Json], watermark: int, stragglers: set[int] | None = None) -> GoldenQuality:
    watch = QualityWatch(lambda _: BASELINE, SCORE_MINUTES, DriftRule(window_minutes=10, hold_minutes=5))
    parts = [part(minute) for minute in range(FIRST, FIRST + MINUTES)]
    return golden_quality(parts, watch, found, watermark, stragglers or set())


@pytest.fixture
def found() -> tuple[list[Json], list[Json]]:
    """The right scores and drift alerts."""
    golden = golden_of([], END_MS * 2)
    return list(golden.scores.values()), list(golden.drifts.values())


def counts(verdict: TopicVerdict) -> tuple[int, int, int, int]:
    return verdict.lost, verdict.duplicated, verdict.mismatched, verdict.pending


def of_scores(scores: list[Json], watermark: int = 0, stragglers: set[int] | None = None) -> tuple[int, ...]:
    return counts(compare_scores(scores, golden_of(scores, watermark, stragglers), SCORE_MINUTES))


def of_drifts(alerts: list[Json], watermark: int = 0, stragglers: set[int] | None = None) -> tuple[int, ...]:
    return counts(compare_drifts(alerts, golden_of(alerts, watermark, stragglers)))


Found = tuple[list[Json], list[Json]]


def test_right_ones_are_clean(found: Found) -> None:
    scores, drifts = found
    assert (len(scores), {one["detail"]["feature"] for one in drifts}) == (MINUTES, {"x", "p_up"})
    assert of_scores(scores) == of_drifts(drifts) == (0, 0, 0, 0)


def test_one_that_is_missing_is_lost_where_a_later_one_is_there(found: Found) -> None:
    scores, drifts = found
    assert of_scores(scores[:3] + scores[4:]) == (1, 0, 0, 0)
    assert counts(compare_drifts([], golden_of(scores, 0))) == (len(drifts), 0, 0, 0)


def test_what_event_time_has_not_surely_passed_is_pending(found: Found) -> None:
    scores, drifts = found
    assert of_scores(scores[:-2]) == (0, 0, 0, 2)
    assert of_drifts([]) == (0, 0, 0, len(drifts))
    passed = END_MS + SETTLED_MS
    assert of_scores(scores[:-2], passed) == (0, 0, 0, 2), "a restart may have taken it back"
    assert of_scores(scores[:-2], passed + 15 * MINUTE_MS) == (2, 0, 0, 0)
    assert of_drifts([], passed + 15 * MINUTE_MS) == (len(drifts), 0, 0, 0)


def test_one_that_stands_there_twice_or_must_not_be_there_is_duplicated(found: Found) -> None:
    scores, drifts = found
    assert of_scores([*scores, scores[4]]) == (0, 1, 0, 0)
    assert of_scores([*scores, {**scores[4], "role": "shadow"}]) == (0, 1, 0, 0)
    assert of_drifts([*drifts, drifts[0]]) == (0, 1, 0, 0)
    assert of_drifts([*drifts, {**drifts[0], "rule": "drift_cleared"}]) == (0, 1, 0, 0)


def test_one_with_another_value_is_mismatched_and_the_last_digit_is_none(found: Found) -> None:
    scores, drifts = found
    other = {**scores[4]["three_class"], "log_loss": scores[4]["three_class"]["log_loss"] + 1e-6}
    assert of_scores([*scores[:4], {**scores[4], "three_class": other}, *scores[5:]]) == (0, 0, 1, 0)
    assert of_scores([*scores[:4], {**scores[4], "trades": 1}, *scores[5:]]) == (0, 0, 1, 0)
    same = {**scores[4], "ece_p_up": float(np.nextafter(scores[4]["ece_p_up"], 1.0))}
    assert of_scores([*scores[:4], same, *scores[5:]]) == (0, 0, 0, 0)
    assert of_drifts([{**drifts[0], "value": drifts[0]["value"] * 1.01}, *drifts[1:]]) == (0, 0, 1, 0)
    assert of_drifts([{**drifts[0], "detail": {}}, *drifts[1:]]) == (0, 0, 1, 0)


def test_windows_with_a_straggler_are_counted_and_not_compared(found: Found) -> None:
    scores, drifts = found
    wrong = [{**one, "trades": 1} for one in scores]
    assert of_scores(wrong, 0, {FIRST + 12}) == (0, 0, 18, 0)
    assert of_scores(wrong[:-3], END_MS * 2, {FIRST + 12}) == (3, 0, 15, 0)
    assert of_drifts([], END_MS * 2, {FIRST}) == (0, 0, 0, 0)
    assert of_drifts(drifts, 0, {FIRST + MINUTES}) == (0, 0, 0, 0)


def test_a_straggler_is_a_trade_that_was_predicted_after_its_minute_had_been_judged() -> None:
    scores = [{"window_end": (minute + 1) * MINUTE_MS, "produced_at": at} for minute, at in ((3, 100), (5, 200))]

    def predicted(minute: int, at: int) -> Json:
        return {"event_time": minute * MINUTE_MS, "produced_at": at}

    in_time = [predicted(3, 90), predicted(4, 150), predicted(5, 180), predicted(6, 900)]
    assert straggling_minutes(in_time, scores) == set()
    assert straggling_minutes([*in_time, predicted(3, 101)], scores) == {3}
    assert straggling_minutes([*in_time, predicted(4, 201)], scores) == {4}, "silent, and passed with the next one"
    assert straggling_minutes(in_time, []) == set()


def test_a_minute_of_stragglers_alone_has_no_score_to_lose(found: Found) -> None:
    scores, _ = found
    assert of_scores(scores[:4] + scores[5:], 0, {FIRST + 4}) == (0, 0, 0, 0)
