from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from state.drift import DriftBaseline
from state.quality_watch import MINUTE_MS, SETTLED_MS, Part, QualityWatch, pack_parts
from state.rules import DriftRule
from state.sparse import Sparse
from state.tally import measures, tally_rows

if TYPE_CHECKING:
    from state.quality_watch import Findings

EVEN = {"edges": np.linspace(0.1, 0.9, 9).tolist(), "shares": [0.1] * 10, "missing": 0.0, "ordinary_psi": 0.0}
BASELINE = DriftBaseline({"features": {"x": EVEN}, "probabilities": {"up": EVEN}}, ("x",))
RULE = DriftRule(window_minutes=20, hold_minutes=10)
FOREVER = 2**62


def new_watch(score_minutes: int = 3) -> QualityWatch:
    return QualityWatch(lambda version: None if version == "unknown" else BASELINE, score_minutes, RULE)


def due(minute: int) -> int:
    """The watermark at which a minute can be judged."""
    return (minute + 1) * MINUTE_MS + SETTLED_MS


def part(minute: int, version: str = "v1", role: str = "active", shift: float = 0.0, trades: int = 100) -> Part:
    """A batch of outcomes of a minute; the feature is that of the baseline, shifted."""
    even = ((np.arange(trades) + 0.5) / trades).astype(np.float32)
    said = np.column_stack([even, (1 - even) / 2, (1 - even) / 2]).astype(np.float32)
    came = (np.arange(trades) % 3).astype(np.int8)
    counts = BASELINE.counts(even[:, np.newaxis] + np.float32(shift), even)
    tally = Sparse.of(tally_rows(said, came, np.full((trades, 3), 0.7)))
    return Part(version, role, minute, trades, tally, Sparse.of(counts.reshape(-1)))


def of_minutes(watch: QualityWatch, minutes: range, shift: float = 0.0, version: str = "v1") -> None:
    for minute in minutes:
        assert watch.add(pack_parts([part(minute, version, shift=shift)])) == 0


def raised(findings: Findings) -> list[tuple[str, int, bool]]:
    return [(drift.event.feature, drift.event_time // MINUTE_MS, drift.event.raised) for drift in findings.drifts]


def test_a_minute_is_judged_when_no_outcome_of_it_can_come_any_more() -> None:
    watch = new_watch()
    assert watch.next_due is None
    watch.add(pack_parts([part(7), part(8)]))
    assert watch.next_due == due(7)
    assert watch.advance(due(7) - 1).scores == []
    assert [score.window_end for score in watch.advance(due(7)).scores] == [8 * MINUTE_MS]
    assert watch.next_due == due(8)


def test_each_version_and_role_has_its_own_score_of_the_window_that_ends_with_the_minute() -> None:
    watch = new_watch()
    shadow = part(7, "v2", "shadow", trades=30)
    watch.add(pack_parts([part(7), shadow]))
    watch.add(pack_parts([part(7, trades=50)]))
    one, two = watch.advance(due(7)).scores
    assert (one.version, one.role, one.measures["trades"]) == ("v1", "active", 150)
    assert (two.version, two.role, two.measures["trades"]) == ("v2", "shadow", 30)
    assert (two.window_start, two.window_end) == (5 * MINUTE_MS, 8 * MINUTE_MS)
    sums = np.zeros_like(tally_rows(np.ones((1, 3), np.float32), np.zeros(1, np.int8)))
    shadow.tally.add_to(sums)
    assert two.measures == measures(sums)


def test_only_a_minute_with_outcomes_has_a_score() -> None:
    watch = new_watch()
    watch.add(pack_parts([part(7), part(90)]))
    scores = watch.advance(due(90)).scores
    assert [(score.window_end // MINUTE_MS, score.measures["trades"]) for score in scores] == [(8, 100), (91, 100)]


def test_an_outcome_of_a_minute_that_has_been_judged_is_left_out_and_counted() -> None:
    watch = new_watch()
    watch.add(pack_parts([part(7)]))
    watch.advance(due(7))
    assert watch.add(pack_parts([part(7, trades=4), part(6, trades=2), part(8)])) == 6
    [score] = watch.advance(due(8)).scores
    assert score.measures["trades"] == 200


def test_an_outcome_of_a_silent_minute_whose_slice_has_been_judged_is_left_out_too() -> None:
    watch = new_watch()
    watch.add(pack_parts([part(1)]))
    watch.advance(due(4))
    assert watch.add(pack_parts([part(3, trades=4)])) == 4
    assert watch.next_due is None


def test_a_shift_is_raised_once_it_has_lasted_and_cleared_when_it_has_gone() -> None:
    watch = new_watch()
    of_minutes(watch, range(20))
    assert raised(watch.advance(due(19))) == []
    of_minutes(watch, range(20, 40), shift=0.6)
    assert raised(watch.advance(due(39))) == [("x", 35, True)]
    of_minutes(watch, range(40, 65))
    assert raised(watch.advance(due(64))) == [("x", 60, False)]


def test_drift_belongs_to_the_version_whatever_its_role() -> None:
    watch = new_watch()
    of_minutes(watch, range(15), shift=0.6)
    for minute in range(15, 25):
        watch.add(pack_parts([part(minute, role="shadow", shift=0.6)]))
    [drift] = watch.advance(due(24)).drifts
    assert (drift.version, drift.event.feature, drift.number) == ("v1", "x", 0)


def test_what_is_found_in_one_moment_is_numbered_whatever_is_judged_at_once() -> None:
    numbers = []
    for at_once in (True, False):
        watch = new_watch()
        for version in ("v2", "v1"):
            of_minutes(watch, range(25), shift=0.6, version=version)
        of_minutes(watch, range(25, 50), version="v1")
        of_minutes(watch, range(25, 50), version="v2")
        found = []
        for minute in [60] if at_once else range(60):
            found += watch.advance(due(minute)).drifts
        numbers.append([(one.event_time, one.number, one.version, one.event.raised) for one in found])
    assert numbers[0] == numbers[1]
    assert [(number, version, begun) for _, number, version, begun in numbers[0]] == [
        (0, "v1", True), (1, "v2", True), (0, "v1", False), (1, "v2", False),
    ]  # fmt: skip


def test_a_version_without_a_baseline_has_scores_and_no_drift() -> None:
    watch = new_watch()
    of_minutes(watch, range(60), shift=0.6, version="unknown")
    found = watch.advance(FOREVER)
    assert (len(found.scores), found.drifts) == (60, [])
    assert watch.worst_drift("unknown") == 0.0


def test_how_far_the_worst_feature_is_off_is_known_while_the_window_is_full() -> None:
    watch = new_watch()
    of_minutes(watch, range(19), shift=0.6)
    watch.advance(due(18))
    assert watch.worst_drift("v1") == 0.0
    of_minutes(watch, range(19, 20), shift=0.6)
    watch.advance(due(19))
    assert watch.worst_drift("v1") > 4.0


def test_a_version_that_no_longer_scores_is_forgotten_after_a_window() -> None:
    watch = new_watch()
    of_minutes(watch, range(20), version="old")
    of_minutes(watch, range(20, 45), version="new")
    watch.advance(due(44))
    kept = len(watch.dump())
    of_minutes(watch, range(45, 50), version="new")
    watch.advance(due(49))
    assert len(watch.dump()) <= kept
    assert watch.worst_drift("new") < 0.1
    assert b"old" not in watch.dump()


@pytest.mark.parametrize("at", [0, 7, 23, 31])
def test_a_loaded_watch_goes_on_as_the_dumped_one(at: int) -> None:
    straight, halved = new_watch(), new_watch()
    found: list[list[Findings]] = [[], []]
    for minute in range(40):
        shift = 0.6 if minute > 10 else 0.0
        if minute == at:
            data = halved.dump()
            halved = new_watch()
            halved.load(data)
        for watch, into in zip((straight, halved), found, strict=True):
            watch.add(pack_parts([part(minute, shift=shift), part(minute, "v2", "shadow")]))
            into.append(watch.advance(due(minute - 2)))
    assert found[0] == found[1]
    assert raised(found[0][-1]) or any(raised(one) for one in found[0])
    assert straight.dump() == halved.dump()
