"""Measures a model version on days, next to forecasts that need no model."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from training.intervals import day_intervals
from training.labels import DOWN, FLAT, UP
from training.metrics import area_under_curve, calibration_table, measure, rise_against_fall
from training.naive import measure_naive
from udfs.manifest import CLASSES
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    import numpy.typing as npt

    from training.examples import DayExamples
    from udfs.artifact import Artifact
    from udfs.manifest import Manifest

    Scores = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int8]
    Parts = Iterable[tuple[dict[str, Any], npt.NDArray[np.bool_]]]

ODD_LOT = 10
"""Trades of fewer shares are odd lots: they are easy to predict, and flatter the figures."""

ACTIVITY_GROUPS = ("busiest", "busy", "quiet", "quietest")
"""Symbols by their number of trades; each group has about a quarter of all trades."""

_PLACEBO_SEED = 1
_BLOCK_ROWS = 8192
_HOUR_MS = 3_600_000


def evaluate(artifact: Artifact, days: Sequence[DayExamples], zone: ZoneInfo) -> dict[str, Any]:
    """All measures of a version on days.

    Args:
        artifact: The version; its features are the columns of the days.
        days: At least one day with at least one trade.
        zone: The exchange's time zone.

    Returns:
        What :func:`describe` says.
    """
    scorer = Scorer(artifact)
    return describe(artifact.manifest, days, [score_day(scorer, day) for day in days], zone)


def describe(
    manifest: Manifest, days: Sequence[DayExamples], scores: Sequence[Scores], zone: ZoneInfo
) -> dict[str, Any]:
    """All measures of what was said on days.

    Args:
        manifest: Of the version, for the naive rules.
        days: At least one day with at least one trade.
        scores: The probabilities of their trades, day by day.
        zone: The exchange's time zone.

    Returns:
        `trades`, `days`, `non_flat`, `three_class` and `ece_p_up` as :func:`training.metrics.measure` gives them
        over all trades; `without_odd_lots`, the same over the trades of at least ten shares; `by_day`, `by_hour`
        (of the exchange's clock) and `by_group` (symbols by activity), the same for each; `intervals` of
        :func:`training.intervals.day_intervals`; `calibration`, for each class the table of
        :func:`training.metrics.calibration_table`; `baselines` of :func:`training.naive.measure_naive`; `placebo`,
        the AUC that is left when the outcomes are dealt out anew, .5 but for chance.
    """
    labels = np.concatenate([day.labels for day in days])
    said = np.concatenate(scores)
    round_lots = np.concatenate([day.volumes for day in days]) >= ODD_LOT
    measures = measure(said, labels)
    return {
        "trades": measures.pop("trades"),
        "days": len(days),
        **measures,
        "intervals": day_intervals(scores, [day.labels for day in days]),
        "without_odd_lots": measure(said[round_lots], labels[round_lots]),
        "baselines": measure_naive(manifest, days, labels),
        "placebo": {"auc": _placebo(said, labels)},
        "calibration": {
            f"p_{name}": calibration_table(said[:, i].astype(np.float64), labels == i) for i, name in enumerate(CLASSES)
        },
        "by_day": [
            {"day": day.day.isoformat()} | measure(of_day, day.labels) for day, of_day in zip(days, scores, strict=True)
        ],
        "by_hour": _by_part(_hours(days, zone), said, labels),
        "by_group": _by_part(_groups(days), said, labels),
    }


def score_day(scorer: Scorer, day: DayExamples) -> Scores:
    """Probabilities of every trade of a day, shape (trades, 3); the day's features are read in parts."""
    parts = [
        scorer.score(np.ascontiguousarray(day.features[start : start + _BLOCK_ROWS]))
        for start in range(0, len(day), _BLOCK_ROWS)
    ]
    return np.concatenate(parts)


def _by_part(parts: Parts, said: Scores, labels: Labels) -> list[dict[str, Any]]:
    return [name | measure(said[chosen], labels[chosen]) for name, chosen in parts]


def _hours(days: Sequence[DayExamples], zone: ZoneInfo) -> Parts:
    """The trades of each hour of the exchange's clock; 11 is from 11:00 to before 12:00."""
    midnights = [datetime.combine(day.day, datetime.min.time(), zone).timestamp() * 1000 for day in days]
    hours = np.concatenate(
        [(day.event_times - midnight) // _HOUR_MS for day, midnight in zip(days, midnights, strict=True)]
    ).astype(np.int64)
    for hour in np.unique(hours):
        yield {"hour": int(hour)}, hours == hour


def _groups(days: Sequence[DayExamples]) -> Parts:
    """The trades of the symbols of each group of activity."""
    by_day = [np.unique(day.symbols, return_inverse=True) for day in days]
    names = np.unique(np.concatenate([symbols for symbols, _ in by_day]))
    numbers = np.concatenate([np.searchsorted(names, symbols)[which] for symbols, which in by_day])
    counts = np.bincount(numbers)
    busiest_first = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[busiest_first]) - counts[busiest_first]
    group_of = np.empty(len(names), np.int64)
    group_of[busiest_first] = before * len(ACTIVITY_GROUPS) // counts.sum()
    for group, name in enumerate(ACTIVITY_GROUPS):
        members = group_of == group
        if members.any():
            yield {"group": name, "symbols": int(members.sum())}, members[numbers]


def _placebo(said: Scores, labels: Labels) -> float:
    dealt = np.random.default_rng(_PLACEBO_SEED).permutation(labels)
    moved = dealt != FLAT
    wide = said[moved].astype(np.float64)
    return area_under_curve(rise_against_fall(wide[:, UP], wide[:, DOWN]), dealt[moved] == UP)
