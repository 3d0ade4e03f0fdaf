"""Measures a model version on days, next to forecasts that need no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training.metrics import measure, measure_majority, measure_sign
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from training.examples import DayExamples
    from udfs.artifact import Artifact

SIGN_BASELINES = {"last_move_sign": "last_move", "market_breadth_sign": "breadth_60s"}
"""Baselines that forecast the direction by the sign of one feature: name and that feature."""

_BLOCK_ROWS = 8192


def evaluate(artifact: Artifact, days: Sequence[DayExamples]) -> dict[str, Any]:
    """All measures of a version on days.

    Args:
        artifact: The version; its features are the columns of the days.
        days: At least one day with at least one trade.

    Returns:
        `trades`, `days`, `non_flat`, `three_class` and `ece_p_up` as :func:`training.metrics.measure`
        gives them over all trades; `baselines`; and `by_day`, the same measures for each day.
    """
    scores = [score_day(Scorer(artifact), day) for day in days]
    labels = np.concatenate([day.labels for day in days])
    by_day = [
        {"day": day.day.isoformat()} | measure(probabilities, day.labels)
        for day, probabilities in zip(days, scores, strict=True)
    ]
    measures = measure(np.concatenate(scores), labels)
    return {
        "trades": measures.pop("trades"),
        "days": len(days),
        **measures,
        "baselines": _baselines(artifact.manifest.feature_names, days, labels),
        "by_day": by_day,
    }


def score_day(scorer: Scorer, day: DayExamples) -> npt.NDArray[np.float32]:
    """Probabilities of every trade of a day, shape (trades, 3); the day's features are read in parts."""
    parts = [
        scorer.score(np.ascontiguousarray(day.features[start : start + _BLOCK_ROWS]))
        for start in range(0, len(day), _BLOCK_ROWS)
    ]
    return np.concatenate(parts)


def _baselines(
    feature_names: Sequence[str], days: Sequence[DayExamples], labels: npt.NDArray[np.int8]
) -> dict[str, dict[str, float]]:
    baselines = {"majority": measure_majority(labels)}
    for baseline, feature in SIGN_BASELINES.items():
        column = feature_names.index(feature)
        signs = np.concatenate([day.features[:, column] for day in days]).astype(np.float64)
        baselines[baseline] = measure_sign(signs, labels)
    return baselines
