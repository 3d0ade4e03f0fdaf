"""How good probabilities are, measured on what came of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from training.labels import DOWN, FLAT, UP
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.int8]
    Flags = npt.NDArray[np.bool_]

_FLOOR = 1e-15
"""Probabilities below it count as it: one impossible event must not make a log loss infinite."""

_CALIBRATION_BINS = 15


def measure(probabilities: npt.NDArray[np.float32], labels: Labels) -> dict[str, Any]:
    """All measures of three-class probabilities.

    Args:
        probabilities: Shape (trades, 3), in the order of :data:`udfs.manifest.CLASSES`.
        labels: Index of the class that came, shape (trades,).

    Returns:
        `trades`; `non_flat`: measures of P(up | up or down) on the trades whose price moved;
        `three_class`; `ece_p_up`. A measure that the labels leave undefined is NaN.
    """
    wide = probabilities.astype(np.float64)
    up, down = wide[:, UP], wide[:, DOWN]
    moved = labels != FLAT
    directional = up[moved] / np.maximum(up[moved] + down[moved], _FLOOR)
    return {
        "trades": len(labels),
        "non_flat": measure_direction(directional, labels[moved] == UP),
        "three_class": measure_classes(wide, labels),
        "ece_p_up": calibration_error(up, labels == UP),
    }


def measure_direction(p_up: Floats, is_up: Flags) -> dict[str, float]:
    """Measures of a binary forecast; a probability of exactly one half counts as half right.

    Args:
        p_up: Probability of up against down, shape (trades,).
        is_up: Whether it went up.
    """
    if not len(is_up):
        return {"trades": 0} | dict.fromkeys(("auc", "accuracy", "log_loss", "top_decile_precision"), np.nan)
    right = np.where(p_up == 0.5, 0.5, (p_up > 0.5) == is_up)  # noqa: PLR2004 - the even chance
    return {
        "trades": len(is_up),
        "auc": area_under_curve(p_up, is_up),
        "accuracy": float(right.mean()),
        "log_loss": _log_loss(np.where(is_up, p_up, 1.0 - p_up)),
        "top_decile_precision": top_decile_precision(p_up, is_up),
    }


def measure_classes(probabilities: Floats, labels: Labels) -> dict[str, float]:
    """Measures of a three-class forecast; its decision is the most probable class."""
    if not len(labels):
        return dict.fromkeys(("log_loss", "macro_f1", "accuracy"), np.nan)
    decided = probabilities.argmax(axis=1)
    return {
        "log_loss": _log_loss(probabilities[np.arange(len(labels)), labels]),
        "macro_f1": macro_f1(decided, labels),
        "accuracy": float((decided == labels).mean()),
    }


def area_under_curve(scores: Floats, positive: Flags) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = float(rankdata(scores)[positive].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def top_decile_precision(scores: Floats, positive: Flags) -> float:
    """Share of positives among the tenth of the trades that score highest (at least one; the earlier of ties)."""
    count = max(1, len(scores) // 10)
    highest = np.argsort(-scores, kind="stable")[:count]
    return float(positive[highest].mean())


def macro_f1(decided: npt.NDArray[np.int64], labels: Labels) -> float:
    """Mean F1 over the classes that came or were decided for."""
    scores = []
    for index in range(len(CLASSES)):
        hits = int(((decided == index) & (labels == index)).sum())
        named = int((decided == index).sum() + (labels == index).sum())
        if named:
            scores.append(2 * hits / named)
    return float(np.mean(scores))


def calibration_error(probabilities: Floats, happened: Flags) -> float:
    """Expected calibration error over 15 bins of equal width (Naeini et al. 2015).

    The mean distance between what was said and what happened, weighted by trades.
    """
    if not len(probabilities):
        return float("nan")
    bins = np.minimum((probabilities * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    excess = np.bincount(bins, weights=probabilities - happened, minlength=_CALIBRATION_BINS)
    return float(np.abs(excess).sum() / len(probabilities))


def measure_sign(signs: Floats, labels: Labels) -> dict[str, float]:
    """A baseline that forecasts the direction by a sign: up above 0, down below, undecided at 0 or NaN.

    Returns:
        `auc` and `accuracy` on the trades whose price moved, undecided ones counting half right.
    """
    moved = labels != FLAT
    forecast = np.sign(np.nan_to_num(signs[moved])) / 2.0 + 0.5
    scores = measure_direction(forecast, labels[moved] == UP)
    return {"auc": scores["auc"], "accuracy": scores["accuracy"]}


def measure_majority(labels: Labels) -> dict[str, float]:
    """A baseline that always names the most frequent outcome: its accuracy on moved and on all trades."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    moved = int(counts[UP] + counts[DOWN])
    return {
        "accuracy": float(max(counts[UP], counts[DOWN]) / moved) if moved else float("nan"),
        "three_class_accuracy": float(counts.max() / len(labels)) if len(labels) else float("nan"),
    }


def _log_loss(of_what_came: Floats) -> float:
    return float(-np.log(np.maximum(of_what_came, _FLOOR)).mean())
