"""Rows walked through all trees, in machine code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.compiled import compiled_as, types

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOGETHER = 6
"""So many trees are walked side by side: a step of one waits for what it reads, and the others go on meanwhile."""

_ROWS = types.Array(types.float32, 2, "A", readonly=True)
_ONE_EACH = types.float32[::1]
_TABLE = types.float32[:, ::1]


@compiled_as(
    types.void(_ROWS, _ONE_EACH, _ONE_EACH, _TABLE, types.uint16[:, ::1], _TABLE, types.int32[::1], _ONE_EACH, _TABLE)
)
def sum_leaves(
    rows: NDArray[np.float32],
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    features: NDArray[np.uint16],
    leaves: NDArray[np.float32],
    classes: NDArray[np.int32],
    base: NDArray[np.float32],
    margins: NDArray[np.float32],
) -> None:
    """Adds up the leaves that each row falls into, tree by tree in their order, in single precision, as XGBoost does.

    Args:
        rows: Unscaled features, shape (rows, features); NaN is a missing value.
        mean: Subtracted from each feature before its tree is asked.
        scale: And what remains is divided by it.
        thresholds: Per tree and inner node, level by level: a value below it goes left.
        features: Per tree and inner node: which feature is compared; the number of features is added to it where a
            missing value goes right.
        leaves: Per tree, from left to right.
        classes: Per tree, the class that it adds to.
        base: Per class, what the sum begins with.
        margins: Takes the sums, shape (rows, classes).
    """
    count, inner = features.shape
    width = rows.shape[1]
    depth = 0
    while (1 << depth) - 1 < inner:
        depth += 1
    # Each value twice: a missing one is below every threshold in the first half, and above every one in the second.
    values = np.empty(2 * width, np.float32)
    for row in range(rows.shape[0]):
        for number in range(width):
            value = (rows[row, number] - mean[number]) / scale[number]
            is_there = value == value  # noqa: PLR0124 - NaN is not
            values[number] = value if is_there else -np.inf
            values[width + number] = value if is_there else np.inf
        for one in range(base.shape[0]):
            margins[row, one] = base[one]
        tree = 0
        while tree + _TOGETHER <= count:
            a = b = c = d = e = f = 0
            for _ in range(depth):
                a = 2 * a + 1 + (values[features[tree, a]] >= thresholds[tree, a])
                b = 2 * b + 1 + (values[features[tree + 1, b]] >= thresholds[tree + 1, b])
                c = 2 * c + 1 + (values[features[tree + 2, c]] >= thresholds[tree + 2, c])
                d = 2 * d + 1 + (values[features[tree + 3, d]] >= thresholds[tree + 3, d])
                e = 2 * e + 1 + (values[features[tree + 4, e]] >= thresholds[tree + 4, e])
                f = 2 * f + 1 + (values[features[tree + 5, f]] >= thresholds[tree + 5, f])
            margins[row, classes[tree]] += leaves[tree, a - inner]
            margins[row, classes[tree + 1]] += leaves[tree + 1, b - inner]
            margins[row, classes[tree + 2]] += leaves[tree + 2, c - inner]
            margins[row, classes[tree + 3]] += leaves[tree + 3, d - inner]
            margins[row, classes[tree + 4]] += leaves[tree + 4, e - inner]
            margins[row, classes[tree + 5]] += leaves[tree + 5, f - inner]
            tree += _TOGETHER
        while tree < count:
            a = 0
            for _ in range(depth):
                a = 2 * a + 1 + (values[features[tree, a]] >= thresholds[tree, a])
            margins[row, classes[tree]] += leaves[tree, a - inner]
            tree += 1
