"""XGBoost's trees, laid out so that a few rows need not wait for what a call of XGBoost does before its first row.

`Booster.inplace_predict` goes through all trees at each call, however few the rows, and reads them out of a cache that
other processes have used since: a quarter to half a millisecond. A stream asks for a handful of rows at a time, so that
was a third of what a bundle costs. Here each tree is a full binary tree in an array: a row follows no pointers and
takes no branches, and several trees are walked side by side (Asadi, Lin and de Vries, "Runtime optimizations for
tree-based machine learning models", 2014). The sums are XGBoost's to the last bit; each booster has to show that first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    import xgboost
    from numpy.typing import NDArray

    from udfs.manifest import Scaler

_DEEPEST = 9
"""A full tree doubles with each level: 450 of them are 2.5 MB at nine."""
_MOST_FEATURES = 32_000
"""Twice as many have a number of two bytes."""
_OBJECTIVES = ("multi:softprob", "multi:softmax")
"""Their margins begin with the base score as it is."""
_TRIED = 64
"""So many rows show whether the sums are XGBoost's."""


class _UnknownKindError(Exception):
    """XGBoost itself has to be asked."""


class Forest:
    """A booster's trees behind their scaling; :meth:`of` makes one.

    Args:
        learner: XGBoost's JSON of the booster ("Introduction to Model IO", its schema of a learner).
        scaler: What its features go through before.

    Raises:
        _UnknownKindError: The trees are of a kind that is not walked here.
    """

    def __init__(self, learner: dict[str, Any], scaler: Scaler) -> None:
        from udfs import forest_kernel  # noqa: PLC0415 - it brings the compiler, which who does not score can do without

        self._kernel = forest_kernel
        self._mean = np.array(scaler.mean, dtype=np.float32)
        self._scale = np.array(scaler.scale, dtype=np.float32)
        booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
        if booster["name"] != "gbtree" or learner["objective"]["name"] not in _OBJECTIVES:
            raise _UnknownKindError("not boosted trees of several classes")
        width, classes = int(parameters["num_feature"]), int(parameters["num_class"])
        trees = booster["model"]["trees"]
        if width > _MOST_FEATURES or any(any(tree["split_type"]) for tree in trees):
            raise _UnknownKindError("features without an order, or more of them than two bytes count")
        self._base = np.resize(np.array(orjson.loads(parameters["base_score"]), dtype=np.float32), classes)
        self._classes = np.array(booster["model"]["tree_info"], dtype=np.int32)
        self._lay_out(trees, width)

    @classmethod
    def of(cls, booster: xgboost.Booster, scaler: Scaler) -> Forest | None:
        """A booster's trees, if their sums of some rows are the booster's own, bit for bit.

        None if they are not, or the trees are not numeric splits, at most nine levels deep, for several classes.
        """
        try:
            forest = cls(orjson.loads(booster.save_raw("json"))["learner"], scaler)
        except _UnknownKindError:
            return None
        random = np.random.default_rng(len(forest._leaves))
        rows = random.normal(forest._mean, np.abs(forest._scale), (_TRIED, len(forest._mean))).astype(np.float32)
        rows[random.random(rows.shape) < 0.1] = np.nan  # noqa: PLR2004 - a tenth
        said = booster.inplace_predict(scaler.transform(rows), predict_type="margin", validate_features=False)
        return forest if forest.margins(rows).tobytes() == said.tobytes() else None

    def margins(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The trees' sums, shape (rows, classes), of unscaled float32 features, shape (rows, features)."""
        margins = np.empty((len(rows), len(self._base)), dtype=np.float32)
        self._kernel.sum_leaves(
            rows,
            self._mean,
            self._scale,
            self._thresholds,
            self._features,
            self._leaves,
            self._classes,
            self._base,
            margins,
        )
        return margins

    def _lay_out(self, trees: list[dict[str, Any]], width: int) -> None:
        """Makes full binary trees, all of the same depth, out of XGBoost's."""
        sizes = np.array([len(tree["left_children"]) for tree in trees])
        firsts = np.cumsum(sizes) - sizes
        left, right, value, feature, goes_left = (
            np.concatenate([np.array(tree[name], dtype=kind) for tree in trees])
            for name, kind in (
                ("left_children", np.int64),
                ("right_children", np.int64),
                ("split_conditions", np.float32),
                ("split_indices", np.int64),
                ("default_left", np.int64),
            )
        )
        feature += np.where(goes_left, 0, width)
        level = firsts[:, np.newaxis]
        thresholds: list[NDArray[np.float32]] = []
        features: list[NDArray[np.int64]] = []
        while (splits := left[level] >= 0).any():
            if len(thresholds) == _DEEPEST:
                raise _UnknownKindError("too deep")
            # What ends early goes on as a leaf whichever way is taken.
            thresholds.append(np.where(splits, value[level], np.float32(np.inf)))
            features.append(np.where(splits, feature[level], 0))
            children = (np.where(splits, side[level] + firsts[:, np.newaxis], level) for side in (left, right))
            level = np.stack(tuple(children), axis=2).reshape(len(trees), -1)
        none = np.empty((len(trees), 0))
        self._thresholds = np.hstack([none, *thresholds]).astype(np.float32)
        self._features = np.hstack([none, *features]).astype(np.uint16)
        self._leaves = np.ascontiguousarray(value[level])
