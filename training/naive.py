"""Forecasts of the direction that need no model; what they know, they know from the days of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training.labels import DOWN, FLAT, UP
from training.metrics import measure_direction
from udfs.manifest import BREADTH, CLASSES, LAST_MOVE, NaiveRates, directions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from training.examples import DayExamples
    from udfs.manifest import Manifest

_ORDER = ("auc", "accuracy")
_SAME_FOR_ALL = (*_ORDER, "log_loss")
"""Measures of a rule that says the same of every trade: no tenth is said more surely than the rest."""
_MEASURES = (*_SAME_FOR_ALL, "top_decile_precision")


def naive_rates(days: Sequence[DayExamples], feature_names: Sequence[str]) -> NaiveRates:
    """How often each outcome came, and how often a rise after each direction of the last move."""
    column = feature_names.index(LAST_MOVE)
    counts = np.zeros((3, len(CLASSES)), np.int64)  # last move down, none or unknown, up
    for day in days:
        moves = directions(day.features[:, column])
        counts += np.bincount(3 * moves + day.labels, minlength=counts.size).reshape(counts.shape)
    rises, falls = counts[:, UP], counts[:, DOWN]
    # A direction that never came before says nothing: one imagined trade each way.
    after = (rises + 1) / (rises + falls + 2)
    of_class = counts.sum(axis=0)
    return NaiveRates(
        classes=tuple((of_class / max(1, of_class.sum())).tolist()),
        up_after_fall=float(after[0]),
        up_after_none=float(after[1]),
        up_after_rise=float(after[2]),
    )


def measure_naive(
    manifest: Manifest, days: Sequence[DayExamples], labels: npt.NDArray[np.int8]
) -> dict[str, dict[str, Any]]:
    """The naive rules on days: direction on the trades that moved, and classes on all.

    Args:
        manifest: Has the frequencies of the training; a version from before they were written down names the last
            move's direction as it is.
        days: The days to measure on.
        labels: Class of each of their trades.

    Returns:
        `majority`: the direction, and the class, that was most frequent in training; `last_move_sign`: P(up) given
        the direction of the last move, as in training; `market_breadth_sign`: up where the market's breadth over
        60 s is above 0, down where it is below, undecided (half right) at 0.
    """
    moved = labels != FLAT
    is_up = labels[moved] == UP

    def column(feature: str) -> npt.NDArray[np.float32]:
        number = manifest.feature_names.index(feature)
        values: npt.NDArray[np.float32] = np.concatenate([day.features[:, number] for day in days])[moved]
        return values

    said = manifest.rates.forecasts(column(LAST_MOVE), column(BREADTH))
    majority, last_move, breadth = (measure_direction(rule, is_up) for rule in said.T)
    usual = int(np.argmax(manifest.rates.classes))
    return {
        "majority": _only(_SAME_FOR_ALL, majority)
        | {"three_class_accuracy": float((labels == usual).mean()) if len(labels) else np.nan},
        "last_move_sign": _only(_MEASURES if manifest.naive_rates else _ORDER, last_move),
        "market_breadth_sign": _only(_ORDER, breadth),
    }


def _only(names: Iterable[str], measures: dict[str, Any]) -> dict[str, Any]:
    return {name: measures[name] for name in names}
