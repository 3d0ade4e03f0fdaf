from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from udfs.artifact import Artifact
from udfs.manifest import Calibration, Manifest, Scaler
from udfs.scorer import Scorer, probabilities

if TYPE_CHECKING:
    import xgboost


@pytest.fixture
def scorer(booster: xgboost.Booster, scaler: Scaler, manifest: Manifest) -> Scorer:
    return Scorer(Artifact(booster, scaler, manifest))


def rows_with_gaps(count: int, features: int) -> np.ndarray:
    random = np.random.default_rng(12)
    rows = random.normal(scale=2.0, size=(count, features)).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def test_probabilities_are_in_the_order_up_flat_down(scorer: Scorer) -> None:
    rows = np.zeros((2, 7), dtype=np.float32)
    rows[:, 0] = [3.0, -3.0]  # the trees learnt: above zero is up
    scores = scorer.score(rows)
    assert scores.argmax(axis=1).tolist() == [0, 2]
    assert scores.dtype == np.float32
    assert scores.sum(axis=1) == pytest.approx(1.0, abs=1e-6)


def test_temperature_one_without_scaling_gives_xgboosts_own_probabilities(
    booster: xgboost.Booster, scaler: Scaler, manifest: Manifest
) -> None:
    plain = manifest.model_copy(update={"calibration": Calibration(temperature=1.0)})
    rows = rows_with_gaps(200, 7)
    scores = Scorer(Artifact(booster, scaler, plain)).score(rows)
    np.testing.assert_allclose(scores, booster.inplace_predict(rows), atol=1e-6)


def test_the_trees_see_scaled_features(booster: xgboost.Booster, scaler: Scaler, manifest: Manifest) -> None:
    rows = rows_with_gaps(100, 7)
    shifted = Scaler(mean=(5.0,) * 7, scale=(2.0,) * 7)
    moved = rows * np.float32(2.0) + np.float32(5.0)
    plain, scaled = (Scorer(Artifact(booster, how, manifest)) for how in (scaler, shifted))
    np.testing.assert_allclose(scaled.score(moved), plain.score(rows), atol=1e-6)


def test_a_higher_temperature_brings_the_probabilities_closer_without_changing_their_order() -> None:
    margins = np.array([[2.0, 0.0, -1.0]], dtype=np.float32)
    cold, hot = probabilities(margins, 1.0)[0], probabilities(margins, 3.0)[0]
    assert cold[0] > hot[0] > hot[1] > hot[2] > cold[2]


def test_huge_margins_do_not_overflow() -> None:
    margins = np.array([[1000.0, 0.0, -1000.0]], dtype=np.float32)
    assert probabilities(margins, 1.0).tolist() == [[1.0, 0.0, 0.0]]


def test_a_row_scores_the_same_alone_and_in_any_batch_bit_for_bit(scorer: Scorer) -> None:
    rows = rows_with_gaps(517, 7)
    together = scorer.score(rows)
    alone = np.concatenate([scorer.score(rows[i : i + 1]) for i in range(len(rows))])
    assert alone.tobytes() == together.tobytes()
    order = np.random.default_rng(13).permutation(len(rows))
    shuffled = np.empty_like(together)
    for batch in np.array_split(order, 9):
        shuffled[batch] = scorer.score(rows[batch])
    assert shuffled.tobytes() == together.tobytes()


def test_rows_taken_out_of_a_larger_table_score_as_copies_of_them(scorer: Scorer) -> None:
    table = rows_with_gaps(60, 14)
    view = table[::2, 3:10]
    assert scorer.score(view).tobytes() == scorer.score(view.copy()).tobytes()


def test_an_empty_block_has_no_scores(scorer: Scorer) -> None:
    scorer.warm_up()
    assert scorer.score(np.empty((0, 7), dtype=np.float32)).shape == (0, 3)


@pytest.mark.parametrize("block", [np.zeros((2, 6), np.float32), np.zeros((2, 7), np.float64), np.zeros(7, np.float32)])
def test_a_block_of_another_shape_or_type_is_refused(scorer: Scorer, block: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be float32 of shape \(rows, 7\)"):
        scorer.score(block)
