from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from training.promotion import BLOCK_MS, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

CANDIDATE, ACTIVE = "new", "old"


def outcome(number: int, version: str, role: str, log_loss: float, event_time: int | None = None) -> dict[str, Any]:
    return {
        "model_version": version,
        "role": role,
        "log_loss": log_loss,
        "event_time": number * 1000 if event_time is None else event_time,
        "source": {"partition": number % 2, "offset": number},
    }


def outcomes(gains: np.ndarray, step_ms: int = 1000, first: int = 0, against: str = ACTIVE) -> Iterator[dict[str, Any]]:
    """Both versions' outcomes of trades in which the candidate's log loss is so much lower."""
    for number, gain in enumerate(gains.tolist(), start=first):
        yield outcome(number, against, "active", 1.0, number * step_ms)
        yield outcome(number, CANDIDATE, "shadow", 1.0 - gain, number * step_ms)


def test_a_candidate_that_is_better_throughout_is_better() -> None:
    gains = np.random.default_rng(1).normal(0.02, 0.3, 30_000)
    verdict = judge(outcomes(gains), CANDIDATE, over=20_000)
    assert verdict.better
    assert (verdict.active, verdict.predictions) == (ACTIVE, 20_000)
    assert verdict.gain == pytest.approx(gains[-20_000:].mean())
    assert 0 < verdict.at_least < verdict.gain


def test_a_candidate_that_is_as_good_or_worse_is_not() -> None:
    noise = np.random.default_rng(2).normal(0.0, 0.3, 30_000)
    noise -= noise.mean()
    assert not judge(outcomes(noise), CANDIDATE, over=20_000).better
    worse = judge(outcomes(noise - 0.02), CANDIDATE, over=20_000)
    assert not worse.better
    assert worse.gain < 0


def test_fewer_predictions_than_asked_for_do_not_decide() -> None:
    verdict = judge(outcomes(np.full(1000, 0.5)), CANDIDATE, over=1001)
    assert not verdict.better
    assert verdict.predictions == 1000
    assert judge(outcomes(np.full(1000, 0.5)), CANDIDATE, over=1000).better


def test_trades_of_the_same_minutes_do_not_count_as_so_many_observations() -> None:
    # Ten blocks, each with a gain of its own: whatever the number of trades, ten observations.
    random = np.random.default_rng(3)
    of_block = random.normal(0.05, 0.1, 10)
    gains = np.repeat(of_block, 1000)
    verdict = judge(outcomes(gains, step_ms=BLOCK_MS // 1000), CANDIDATE, over=10_000)
    error = of_block.std(ddof=1) / math.sqrt(10)
    assert verdict.at_least == pytest.approx(of_block.mean() - 1.833 * error, abs=1e-4)  # Student's t, 9 degrees


def test_one_block_alone_proves_nothing() -> None:
    assert not judge(outcomes(np.full(1000, 0.5), step_ms=1), CANDIDATE, over=1000).better


def test_the_interval_holds_what_it_promises() -> None:
    random = np.random.default_rng(4)
    promoted = 0
    for _ in range(200):
        gains = np.repeat(random.normal(0.0, 0.1, 20), 20)
        promoted += judge(outcomes(gains, step_ms=BLOCK_MS // 20), CANDIDATE, over=400).better
    assert promoted <= 20  # of 200 candidates that are no better, one in twenty may pass


def test_only_trades_that_both_have_scored_count() -> None:
    alone = [outcome(number, CANDIDATE, "shadow", 0.0) for number in range(5000, 6000)]
    unshadowed = [outcome(number, ACTIVE, "active", 9.0) for number in range(7000, 8000)]
    verdict = judge([*outcomes(np.full(1000, 0.25)), *alone, *unshadowed], CANDIDATE, over=100)
    assert (verdict.predictions, verdict.gain) == (100, pytest.approx(0.25))


def test_which_of_the_two_outcomes_comes_first_does_not_matter() -> None:
    gains = np.random.default_rng(5).normal(0.02, 0.3, 2000)
    forwards = list(outcomes(gains))
    assert judge(forwards, CANDIDATE, over=1000) == judge(reversed(forwards), CANDIDATE, over=1000)


def test_the_comparison_is_with_the_version_that_is_active_at_the_end() -> None:
    earlier = list(outcomes(np.full(1000, 0.5), against="older"))
    later = list(outcomes(np.full(1000, -0.1), first=1000))
    verdict = judge([*earlier, *later], CANDIDATE, over=500)
    assert (verdict.active, verdict.gain) == (ACTIVE, pytest.approx(-0.1))
    assert judge([*earlier, *later], CANDIDATE, over=1500).predictions == 1000


def test_another_shadow_does_not_matter() -> None:
    other = [outcome(number, "other", "shadow", 0.0) for number in range(1000)]
    verdict = judge([*other, *outcomes(np.full(1000, 0.25))], CANDIDATE, over=1000)
    assert (verdict.predictions, verdict.gain) == (1000, pytest.approx(0.25))


def test_without_outcomes_there_is_nothing_to_say() -> None:
    verdict = judge([], CANDIDATE, over=10)
    assert not verdict.better
    assert (verdict.active, verdict.predictions) == ("", 0)


def test_a_version_that_scores_already_has_nobody_to_beat() -> None:
    promoted = [outcome(number, CANDIDATE, "active", 0.5) for number in range(2000, 2100)]
    verdict = judge([*outcomes(np.full(1000, 0.25)), *promoted], CANDIDATE, over=100)
    assert not verdict.better
    assert verdict.active == CANDIDATE
