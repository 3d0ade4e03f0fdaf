"""How features and probabilities were distributed in training, to compare the live ones with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from state.drift import BINS, stability_index
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from training.examples import DayExamples

_SAMPLE = 200_000
_ENOUGH_DAYS = 10
"""From so many days on, the one that goes furthest is taken for an accident of the data."""


def drift_baseline(
    days: Sequence[DayExamples], feature_names: Sequence[str], said: Sequence[npt.NDArray[np.float32]]
) -> dict[str, Any]:
    """The distributions that a population stability index is taken against.

    Args:
        days: The days of the fit.
        feature_names: Names of their columns.
        said: What the finished version says on days it was not grown on, day by day, shape (trades, 3) each.

    Returns:
        `features` and `probabilities`: by name, inner `edges` of at most ten bins of equal share (a
        value on an edge belongs to the bin above), the `shares` of the values that are known, the
        `missing` share, and the `ordinary_psi`: how far single days went from all the others; `labels`: share
        of each class.
    """
    step = max(1, sum(map(len, days)) // _SAMPLE)
    samples = [np.asarray(day.features[::step]) for day in days]
    labels = np.concatenate([day.labels for day in days])
    shares = np.bincount(labels, minlength=len(CLASSES)) / len(labels)
    return {
        "features": {name: _distribution([day[:, i] for day in samples]) for i, name in enumerate(feature_names)},
        "probabilities": {name: _distribution([day[:, i] for day in said]) for i, name in enumerate(CLASSES)},
        "labels": dict(zip(CLASSES, shares.tolist(), strict=True)),
    }


def _distribution(days: Sequence[npt.NDArray[np.float32]]) -> dict[str, Any]:
    values = np.concatenate(days)
    known = values[~np.isnan(values)].astype(np.float64)
    if not len(known):
        return {"edges": [], "shares": [], "missing": 1.0, "ordinary_psi": 0.0}
    edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    counts = np.array([_counts(day, edges) for day in days if len(day)])
    total = counts.sum(axis=0)
    return {
        "edges": edges.tolist(),
        "shares": (total[:-1] / len(known)).tolist(),
        "missing": 1.0 - len(known) / len(values),
        "ordinary_psi": _ordinary_index(counts),
    }


def _counts(values: npt.NDArray[np.float32], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How many values fall into each bin, and, last, are missing."""
    missing = np.isnan(values)
    bins = np.searchsorted(edges, values[~missing].astype(np.float64), side="right")
    return np.append(np.bincount(bins, minlength=len(edges) + 1), missing.sum())


def _ordinary_index(counts: npt.NDArray[np.int64]) -> float:
    """The highest stability index of a day against all others; the second highest where there are many days."""
    if len(counts) < 2:  # noqa: PLR2004 - a day and another
        return 0.0
    others = counts.sum(axis=0) - counts
    index = np.sort(
        stability_index(counts / counts.sum(axis=1, keepdims=True), others / others.sum(axis=1, keepdims=True))
    )
    return float(index[-2] if len(index) >= _ENOUGH_DAYS else index[-1])
