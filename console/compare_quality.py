"""Live scores and drift alerts against the golden ones: what every outcome adds is counted again."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import orjson

from console.compare import source
from console.golden import END_OF_TIME
from console.verdict import TopicVerdict
from state.quality_watch import MINUTE_MS, SETTLED_MS, pack_parts
from state.records import DRIFT_RULES, drift_record, score_record, to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from console.golden import Position
    from console.messages import Json
    from state.quality_watch import Part, QualityWatch

_TAKEN_BACK_MS = 15 * MINUTE_MS
"""A watermark is no part of a checkpoint. So much of it a restart may take back until the next trades come, in a
replay at full speed."""
_ANY_TIME = 0
_OF_THE_CLOCK = {"produced_at"}
_SAME_TO = 1e-9
"""Logarithms differ in their last digit between processors."""

Window = tuple[str, str, int]
"""Model version, role, end of the window."""
Alert = tuple[str, "Position"]


class GoldenQuality(NamedTuple):
    """What must stand in the topics about scores and drift.

    Attributes:
        scores: Messages by version, role and end of the window.
        drifts: Alerts by rule and position.
        reached: Event time (ms) up to which all must be there.
        stragglers: From :func:`straggling_minutes`.
    """

    scores: dict[Window, Json]
    drifts: dict[Alert, Json]
    reached: int
    stragglers: set[int]


def golden_quality(
    observed: Iterable[Part], watch: QualityWatch, found: Iterable[Json], watermark: int, stragglers: set[int]
) -> GoldenQuality:
    """What follows from the outcomes.

    Args:
        observed: What the outcomes add.
        watch: A new one.
        found: Recorded scores and alerts; they tell how far the job has come.
        watermark: Event time that the job's watermark has surely passed, ms.
        stragglers: From :func:`straggling_minutes`.
    """
    watch.add(pack_parts(observed))
    findings = watch.advance(END_OF_TIME)
    scores = [_as_read(score_record(score, _ANY_TIME)) for score in findings.scores]
    drifts = [_as_read(drift_record(drift)) for drift in findings.drifts]
    told = [_end(one) + SETTLED_MS for one in found if "window_end" in one or one["rule"] in DRIFT_RULES]
    return GoldenQuality(
        scores={_window(one): one for one in scores},
        drifts={(str(one["rule"]), source(one)): one for one in drifts},
        reached=max([watermark - _TAKEN_BACK_MS, *told]),
        stragglers=stragglers,
    )


def straggling_minutes(predictions: Iterable[Json], scores: Iterable[Json]) -> set[int]:
    """Minutes since the epoch with a trade that was predicted only after they had been judged: it is left out of them.

    While event time moves such a trade is late. It is taken where a stream had stopped, and as the first to come after
    a restart, which begins without a watermark.

    Args:
        predictions: Recorded predictions.
        scores: Recorded scores.
    """
    judged_at: dict[int, int] = {}
    for score in scores:
        minute = score["window_end"] // MINUTE_MS - 1
        judged_at[minute] = min(judged_at.get(minute, END_OF_TIME), score["produced_at"])
    judged = sorted(judged_at)
    # A minute without a score of its own was passed with the next one that has one.
    passed_at = list(accumulate((judged_at[minute] for minute in reversed(judged)), min))[::-1]
    stragglers = set()
    for one in predictions:
        minute = one["event_time"] // MINUTE_MS
        following = bisect_left(judged, minute)
        if following < len(judged) and one["produced_at"] > passed_at[following]:
            stragglers.add(minute)
    return stragglers


def compare_scores(found: Collection[Json], golden: GoldenQuality, score_minutes: int) -> TopicVerdict:
    """Each window's score once, and rightly; one whose last outcomes event time has not passed may still come."""
    scores = {_window(one): one for one in found}
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(scores))
    verdict.duplicated += len(scores.keys() - golden.scores.keys())
    for window in golden.scores.keys() - scores.keys():
        if window[-1] // MINUTE_MS - 1 not in golden.stragglers:
            is_due = window[-1] + SETTLED_MS <= golden.reached
            verdict.lost += is_due
            verdict.pending += not is_due
    for window in golden.scores.keys() & scores.keys():
        end = window[-1] // MINUTE_MS
        if golden.stragglers.isdisjoint(range(end - score_minutes, end)):
            verdict.mismatched += not _is_alike(scores[window], golden.scores[window])
    return verdict


def compare_drifts(found: Iterable[Json], golden: GoldenQuality) -> TopicVerdict:
    """Each drift alert once, and rightly; from a minute on that lacks a trade, none is compared.

    Args:
        found: All alerts.
        golden: What must be there.
    """
    found = [one for one in found if one["rule"] in DRIFT_RULES]
    end = min(golden.stragglers, default=END_OF_TIME // MINUTE_MS) * MINUTE_MS
    alerts = {(one["rule"], source(one)): one for one in found}
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(alerts))
    alerts = {key: one for key, one in alerts.items() if one["event_time"] <= end}
    expected = {key: one for key, one in golden.drifts.items() if one["event_time"] <= end}
    verdict.duplicated += len(alerts.keys() - expected.keys())
    for key in expected.keys() - alerts.keys():
        is_due = expected[key]["event_time"] + SETTLED_MS <= golden.reached
        verdict.lost += is_due
        verdict.pending += not is_due
    verdict.mismatched = sum(not _is_alike(alerts[key], expected[key]) for key in expected.keys() & alerts.keys())
    return verdict


def _window(score: Json) -> Window:
    return score["model_version"], score["role"], score["window_end"]


def _end(message: Json) -> int:
    end: int = message.get("window_end") or message["event_time"]
    return end


def _as_read(record: dict[str, object]) -> Json:
    """A message as its reader gets it."""
    read: Json = orjson.loads(to_json(record))
    return read


def _is_alike(one: object, other: object) -> bool:
    """Whether two messages are the same but for the last digits of their measures."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _is_alike(one[name], other[name]) for name in one.keys() - _OF_THE_CLOCK
        )
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_SAME_TO, abs_tol=_SAME_TO)
    return one == other
