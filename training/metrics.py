"""How good probabilities are, measured on what came of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from state.tally import CALIBRATION_BINS, PROBABILITY_FLOOR
from training.labels import DOWN, FLAT, UP
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.int8]
    Flags = npt.NDArray[np.bool_]


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
    return {
        "trades": len(labels),
        "non_flat": measure_direction(rise_against_fall(up[moved], down[moved]), labels[moved] == UP),
        "three_class": measure_classes(wide, labels),
        "ece_p_up": calibration_error(up, labels == UP),
    }


def rise_against_fall(up: Floats, down: Floats) -> Floats:
    """Probability of up where flat is ruled out."""
    ratio: Floats = up / np.maximum(up + down, PROBABILITY_FLOOR)
    return ratio


def measure_direction(p_up: Floats, is_up: Flags) -> dict[str, float]:
    """Measures of a binary forecast; a probability of exactly one half counts as half right.

    Args:
        p_up: Probability of up against down, shape (trades,).
        is_up: Whether it went up.
    """
    if not len(is_up):
        return {"trades": 0} | dict.fromkeys(("auc", "accuracy", "log_loss", "top_decile_precision"), np.nan)
    return {
        "trades": len(is_up),
        "auc": area_under_curve(p_up, is_up),
        "accuracy": float(_right(p_up, is_up).mean()),
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
    from scipy.stats import rankdata  # noqa: PLC0415 - more than a second, and the demo needs it only in the end

    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = float(rankdata(scores)[positive].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def top_decile_precision(p_up: Floats, is_up: Flags) -> float:
    """Share of right directions among the tenth of the trades whose direction was said most surely, up or down.

    The sureness is max(P(up), 1 - P(up)). At least one trade; the earlier of ties. An even chance is half right.
    """
    count = max(1, len(p_up) // 10)
    surest = np.argsort(-np.maximum(p_up, 1.0 - p_up), kind="stable")[:count]
    return float(_right(p_up[surest], is_up[surest]).mean())


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
    excess = np.bincount(_bins(probabilities), weights=probabilities - happened, minlength=CALIBRATION_BINS)
    return float(np.abs(excess).sum() / len(probabilities))


def calibration_table(probabilities: Floats, happened: Flags) -> list[dict[str, float]]:
    """What was said and what happened, bin by bin.

    Returns:
        Of each bin that holds a trade, from the lowest: `said`, the mean probability; `happened`, the share of
        the trades where it came true; `trades`, their number.
    """
    bins = _bins(probabilities)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    said = np.bincount(bins, weights=probabilities, minlength=CALIBRATION_BINS)
    came = np.bincount(bins, weights=happened, minlength=CALIBRATION_BINS)
    return [
        {"said": float(said[i] / counts[i]), "happened": float(came[i] / counts[i]), "trades": int(counts[i])}
        for i in np.flatnonzero(counts)
    ]


def _bins(probabilities: Floats) -> npt.NDArray[np.int64]:
    return np.minimum((probabilities * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def _right(p_up: Floats, is_up: Flags) -> Floats:
    return np.where(p_up == 0.5, 0.5, (p_up > 0.5) == is_up)  # noqa: PLR2004 - the even chance


def _log_loss(of_what_came: Floats) -> float:
    return float(-np.log(np.maximum(of_what_came, PROBABILITY_FLOOR)).mean())
