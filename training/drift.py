"""How features and probabilities were distributed in training, to compare the live ones with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from udfs.manifest import CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from training.examples import DayExamples

_BINS = 10
_SAMPLE = 200_000


def drift_baseline(
    days: Sequence[DayExamples], feature_names: Sequence[str], probabilities: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """The distributions that a population stability index is taken against.

    Args:
        days: The days of the fit.
        feature_names: Names of their columns.
        probabilities: What the finished version says on days it was not grown on, shape (trades, 3).

    Returns:
        `features` and `probabilities`: by name, inner `edges` of at most ten bins of equal share (a
        value on an edge belongs to the bin above), the `shares` of the values that are known, and the
        `missing` share; `labels`: share of each class.
    """
    step = max(1, sum(map(len, days)) // _SAMPLE)
    sample = np.concatenate([day.features[::step] for day in days])
    labels = np.concatenate([day.labels for day in days])
    shares = np.bincount(labels, minlength=len(CLASSES)) / len(labels)
    return {
        "features": {name: _distribution(sample[:, i]) for i, name in enumerate(feature_names)},
        "probabilities": {name: _distribution(probabilities[:, i]) for i, name in enumerate(CLASSES)},
        "labels": dict(zip(CLASSES, shares.tolist(), strict=True)),
    }


def _distribution(values: npt.NDArray[np.float32]) -> dict[str, Any]:
    known = values[~np.isnan(values)].astype(np.float64)
    if not len(known):
        return {"edges": [], "shares": [], "missing": 1.0}
    edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return {
        "edges": edges.tolist(),
        "shares": (counts / len(known)).tolist(),
        "missing": 1.0 - len(known) / len(values),
    }
