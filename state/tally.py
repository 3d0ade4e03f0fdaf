"""Sums over outcomes from which every measure follows: they add up, over minutes as over days.

A tally is a vector of whole numbers, so that what leaves a window is subtracted without a trace and any order of
additions gives the same. What is not a count is kept in units of 2^-32.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTCOMES = ("up", "flat", "down")
"""What a price can do within its minute, in the order of the probabilities."""

CALIBRATION_BINS = 15
"""Bins of equal width of the expected calibration error (Naeini et al. 2015)."""

PROBABILITY_FLOOR = 1e-15
"""Probabilities below it count as it: one impossible event must not make a log loss infinite."""

DIRECTION_BINS = 2000
"""Bins of the probability of up against down. Within a bin its order is not known: see :func:`measures`."""

_UNIT = 2.0**-32
_HALF = 0.5
_UP, _FLAT, _DOWN = range(3)

_CONFUSION = 0  # 3 x 3: decided, realised
_LOSS = 9
_DIRECTION_LOSS = 10
_DIRECTION_RIGHT = 11  # twice, since an even chance is half right
_EXCESS = 12  # by calibration bin: said less happened, and how many
_RISES = _EXCESS + CALIBRATION_BINS
_FALLS = _RISES + DIRECTION_BINS
_RULES = _FALLS + DIRECTION_BINS  # of each naive rule: trades, and twice the right ones
NAIVE_RULES = ("majority", "last_move_sign", "market_breadth_sign")
"""Forecasts of the direction that need no model, in the order of the tally."""

SIZE = _RULES + 2 * len(NAIVE_RULES)


def tally_rows(
    probabilities: NDArray[np.float32], came: NDArray[np.int8], naive: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """The tally of outcomes, shape (SIZE,).

    Args:
        probabilities: Shape (trades, 3), in the order of :data:`OUTCOMES`.
        came: Index of what came, shape (trades,).
        naive: P(up) against down of each of :data:`NAIVE_RULES`, shape (trades, rules); None: they are not measured.
    """
    wide = probabilities.astype(np.float64)
    up, down = wide[:, _UP], wide[:, _DOWN]
    sums = np.zeros(SIZE, np.int64)
    sums[:_LOSS] = np.bincount(3 * wide.argmax(axis=1) + came, minlength=_LOSS)
    sums[_LOSS] = _losses(wide[np.arange(len(came)), came])
    bins = np.minimum((up * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    np.add.at(sums[_EXCESS:_RISES], bins, np.rint((up - (came == _UP)) / _UNIT).astype(np.int64))
    moved = came != _FLAT
    rose = came[moved] == _UP
    p_up = up[moved] / np.maximum(up[moved] + down[moved], PROBABILITY_FLOOR)
    places = np.minimum((p_up * DIRECTION_BINS).astype(np.intp), DIRECTION_BINS - 1)
    np.add.at(sums, np.where(rose, _RISES, _FALLS) + places, 1)
    sums[_DIRECTION_LOSS] = _losses(np.where(rose, p_up, 1.0 - p_up))
    sums[_DIRECTION_RIGHT] = _twice_right(p_up, rose).sum()
    if naive is not None:
        sums[_RULES::2] = len(rose)
        sums[_RULES + 1 :: 2] = _twice_right(naive[moved], rose[:, np.newaxis]).sum(axis=0)
    return sums


def measures(sums: NDArray[np.int64]) -> dict[str, Any]:
    """The measures of a tally, under the names of `tickcast evaluate`.

    Accuracies, log losses, macro-F1 and ECE are those of :mod:`training.metrics` but for the units of 2^-32. The
    area under the curve takes two trades of one bin for a tie: it is off by less than the share of such pairs of a
    rise and a fall, divided by two; the tenth most sure takes of its last bin a part at the bin's own precision.
    A measure that the outcomes leave undefined is NaN.
    """
    confusion = sums[:_LOSS].reshape(3, 3)
    rises, falls = sums[_RISES:_FALLS], sums[_FALLS:_RULES]
    trades, moved = int(confusion.sum()), int(rises.sum() + falls.sum())
    naive = {
        rule: {"accuracy": _share(sums[place + 1], 2 * int(sums[place]))}
        for rule, place in zip(NAIVE_RULES, range(_RULES, SIZE, 2), strict=True)
        if sums[place]
    }
    return {
        "trades": trades,
        "non_flat": {
            "trades": moved,
            "auc": _area(rises, falls),
            "accuracy": _share(sums[_DIRECTION_RIGHT], 2 * moved),
            "log_loss": _share(sums[_DIRECTION_LOSS] * _UNIT, moved),
            "top_decile_precision": _most_sure(rises, falls),
        },
        "three_class": {
            "log_loss": _share(sums[_LOSS] * _UNIT, trades),
            "macro_f1": _macro_f1(confusion),
            "accuracy": _share(np.trace(confusion), trades),
        },
        "ece_p_up": _share(np.abs(sums[_EXCESS:_RISES]).sum() * _UNIT, trades),
        "baselines": naive,
    }


def _losses(of_what_came: NDArray[np.float64]) -> int:
    return int(np.rint(-np.log(np.maximum(of_what_came, PROBABILITY_FLOOR)) / _UNIT).astype(np.int64).sum())


def _twice_right(p_up: NDArray[np.float64], rose: NDArray[np.bool_]) -> NDArray[np.int64]:
    right: NDArray[np.int64] = np.where(p_up == _HALF, 1, 2 * ((p_up > _HALF) == rose))
    return right


def _share(part: float, whole: int) -> float:
    return float(part) / whole if whole else math.nan


def _area(rises: NDArray[np.int64], falls: NDArray[np.int64]) -> float:
    pairs = float(rises.sum()) * float(falls.sum())
    falls_below = np.cumsum(falls) - falls
    return float((rises * (falls_below + falls / 2)).sum()) / pairs if pairs else math.nan


def _most_sure(rises: NDArray[np.int64], falls: NDArray[np.int64]) -> float:
    """Share of right directions among the tenth of the moved trades whose direction was most surely said."""
    half = DIRECTION_BINS // 2
    right = (rises[half:] + falls[:half][::-1])[::-1].astype(np.float64)
    said = right + (falls[half:] + rises[:half][::-1])[::-1]
    wanted = max(1, int(said.sum()) // 10)
    taken = np.clip(wanted - (np.cumsum(said) - said), 0.0, said)
    return float((right * taken / np.maximum(said, 1.0)).sum()) / wanted if said.sum() else math.nan


def _macro_f1(confusion: NDArray[np.int64]) -> float:
    named = confusion.sum(axis=0) + confusion.sum(axis=1)
    counts = named > 0
    return float((2 * np.diag(confusion)[counts] / named[counts]).mean()) if counts.any() else math.nan
