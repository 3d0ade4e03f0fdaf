"""Trees walked by compiled code, beside XGBoost's own sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xgboost

from jobs.settings import ModelSettings
from state.features import SCHEMA_HASH
from udfs.artifact import Artifact, load_artifact, versions
from udfs.forest import Forest
from udfs.manifest import Manifest, Scaler
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURES = 5


def rows_at_thresholds(booster: xgboost.Booster, count: int, seed: int = 5) -> NDArray[np.float32]:
    """Rows of values that the trees compare with, of their neighbours among float32, and of gaps."""
    random = np.random.default_rng(seed)
    splits = booster.trees_to_dataframe()
    splits = splits[splits["Feature"] != "Leaf"]
    rows = random.normal(size=(count, booster.num_features())).astype(np.float32)
    for name, thresholds in splits.groupby("Feature")["Split"]:
        column = int(name[1:])
        rows[:, column] = random.choice(thresholds.to_numpy(np.float32), count)
    side = random.choice(np.array([-np.inf, 0, np.inf], np.float32), rows.shape)
    rows = np.where(side == 0, rows, np.nextafter(rows, side))
    rows[random.random(rows.shape) < 0.15] = np.nan
    return rows


def unscaled(width: int) -> Scaler:
    return Scaler(mean=(0.0,) * width, scale=(1.0,) * width)


def grown(rounds: int = 12, labels: int = 3, kinds: list[str] | None = None, **parameters: Any) -> xgboost.Booster:
    random = np.random.default_rng(3)
    rows = random.normal(size=(2_000, FEATURES)).astype(np.float32)
    if kinds is not None:
        rows = np.abs(rows).astype(np.int32).astype(np.float32)
    target = np.digitize(rows[:, 0] - rows[:, 1] * rows[:, 2] + random.normal(scale=0.3, size=2_000), [-0.4, 0.4])
    target = np.minimum(target, labels - 1)
    rows[random.random(rows.shape) < 0.05] = np.nan
    usual = {"objective": "multi:softprob", "num_class": 3, "max_depth": 4, "nthread": 1, "seed": 1}
    data = xgboost.DMatrix(rows, target, feature_types=kinds, enable_categorical=kinds is not None)
    return xgboost.train(usual | parameters, data, num_boost_round=rounds)


@pytest.mark.parametrize("version", versions(ModelSettings().directory))
def test_every_shipped_version_is_walked_and_its_sums_are_xgboosts_to_the_last_bit(version: str) -> None:
    artifact = load_artifact(ModelSettings().directory, version, SCHEMA_HASH)
    forest = Forest.of(artifact.booster, artifact.scaler)
    assert forest is not None
    scaled = rows_at_thresholds(artifact.booster, 2_000)
    rows = scaled * np.array(artifact.scaler.scale, np.float32) + np.array(artifact.scaler.mean, np.float32)
    expected = artifact.booster.inplace_predict(artifact.scaler.transform(rows), predict_type="margin")
    assert forest.margins(rows).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_depth": 1},
        {"max_depth": 9, "min_child_weight": 0},
        {"max_depth": 0, "max_leaves": 20, "grow_policy": "lossguide", "rounds": 4},
        {"rounds": 7},  # 21 trees, of which six at a time leave three
        {"rounds": 1, "gamma": 1e9},  # nothing but leaves
        {"num_parallel_tree": 2, "subsample": 0.5},
        {"objective": "multi:softmax"},
        {"base_score": 0.25},
    ],
)
def test_trees_of_any_shape_give_xgboosts_sums_to_the_last_bit(parameters: dict[str, Any]) -> None:
    booster = grown(**parameters)
    forest = Forest.of(booster, unscaled(FEATURES))
    assert forest is not None
    rows = np.vstack([rows_at_thresholds(booster, 500), np.full((1, FEATURES), np.nan, np.float32)])
    rows[:50] = np.where(np.isnan(rows[:50]), np.float32(-0.0), rows[:50])
    expected = booster.inplace_predict(rows, predict_type="margin")
    assert forest.margins(rows).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "parameters",
    [
        {"booster": "dart", "rate_drop": 0.5},
        {"max_depth": 11, "min_child_weight": 0, "eta": 1.0, "rounds": 3},
        {"objective": "binary:logistic", "num_class": 0, "labels": 2},
        {"multi_strategy": "multi_output_tree", "tree_method": "hist"},
        {"kinds": ["c"] * FEATURES, "max_cat_to_onehot": 1},
    ],
)
def test_trees_of_another_kind_are_left_to_xgboost(parameters: dict[str, Any], manifest: Manifest) -> None:
    booster = grown(**parameters)
    assert Forest.of(booster, unscaled(FEATURES)) is None
    named = manifest.model_copy(update={"feature_names": tuple("abcde")})
    rows = np.random.default_rng(4).integers(0, 3, (40, FEATURES)).astype(np.float32)
    margins = Scorer(Artifact(booster, unscaled(FEATURES), named)).margins(rows)
    assert margins.tobytes() == booster.inplace_predict(rows, predict_type="margin", validate_features=False).tobytes()


def test_rows_out_of_a_message_which_cannot_be_written_to_are_taken_as_they_are() -> None:
    booster = grown()
    forest = Forest.of(booster, unscaled(FEATURES))
    assert forest is not None
    rows = rows_at_thresholds(booster, 9)
    assert forest.margins(np.frombuffer(rows.tobytes(), np.float32).reshape(9, -1)).tobytes() == (
        forest.margins(rows).tobytes()
    )
