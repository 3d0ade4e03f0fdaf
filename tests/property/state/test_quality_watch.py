"""Whatever way outcomes take to the watch, it finds the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from state.drift import BINS, DriftBaseline
from state.quality_watch import MINUTE_MS, Part, QualityWatch, pack_parts
from state.rules import DriftRule
from state.sparse import Sparse
from state.tally import tally_rows

if TYPE_CHECKING:
    import random

FOREVER = 2**62
MINUTES = 40
BASELINE = DriftBaseline(
    {
        "features": {"x": {"edges": [0.3, 0.6], "shares": [0.2, 0.3, 0.5], "missing": 0.2, "ordinary_psi": 0.01}},
        "probabilities": {"up": {"edges": [0.4], "shares": [0.5, 0.5], "missing": 0.0, "ordinary_psi": 0.02}},
    },
    ("x",),
)


def new_watch() -> QualityWatch:
    return QualityWatch(lambda _: BASELINE, 7, DriftRule(window_minutes=10, hold_minutes=5))


def parts_of(dice: random.Random, batches: int) -> list[Part]:
    """Outcomes of two versions, in batches of any size; what the second sees drifts away and comes back."""
    random = np.random.default_rng(dice.randrange(2**32))
    made = []
    for _ in range(batches):
        minute, version = int(random.integers(MINUTES)), int(random.integers(2))
        trades = int(random.integers(1, 40))
        said = random.dirichlet([1, 1, 1], trades).astype(np.float32)
        features = random.random((trades, 1)).astype(np.float32) + np.float32(version * (minute in range(10, 25)))
        features[random.random(trades) < 0.2] = np.nan
        counts = BASELINE.counts(features, said[:, 0])
        tally = tally_rows(said, random.integers(0, 3, trades).astype(np.int8), random.random((trades, 3)))
        role = ("active", "shadow")[version]
        made.append(Part(f"v{version}", role, minute, trades, Sparse.of(tally), Sparse.of(counts.reshape(-1))))
    return made


@given(st.randoms(use_true_random=False))
def test_neither_order_nor_batches_nor_the_watermarks_steps_change_what_is_found(dice: random.Random) -> None:
    parts = parts_of(dice, 120)
    at_once = new_watch()
    at_once.add(pack_parts(parts))
    expected = at_once.advance(FOREVER)

    parts.sort(key=lambda part: part.minute + dice.random() * 3)
    watch = new_watch()
    scores, drifts = [], []
    while parts:
        size = dice.randrange(1, 9)
        batch, parts = parts[:size], parts[size:]
        dice.shuffle(batch)
        assert watch.add(pack_parts(batch)) == 0
        if dice.random() < 0.3:
            found = watch.advance((batch[0].minute - 4) * MINUTE_MS)
            scores += found.scores
            drifts += found.drifts
        if dice.random() < 0.1:
            data, watch = watch.dump(), new_watch()
            watch.load(data)
    found = watch.advance(FOREVER)
    assert [*scores, *found.scores] == expected.scores
    assert [*drifts, *found.drifts] == expected.drifts


@given(st.randoms(use_true_random=False))
def test_counts_of_the_parts_are_those_of_the_whole(dice: random.Random) -> None:
    random = np.random.default_rng(dice.randrange(2**32))
    features, p_up = random.normal(0.5, 0.4, (90, 1)).astype(np.float32), random.random(90).astype(np.float32)
    whole = BASELINE.counts(features, p_up)
    sums = BASELINE.no_counts()
    for rows in np.array_split(random.permutation(90), dice.randrange(1, 12)):
        Sparse.unpack(Sparse.of(BASELINE.counts(features[rows], p_up[rows]).reshape(-1)).pack()).add_to(
            sums.reshape(-1)
        )
    np.testing.assert_array_equal(sums, whole)
    assert sums.shape == (2, BINS + 1)
