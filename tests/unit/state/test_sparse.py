from __future__ import annotations

import numpy as np
import pytest

from state.sparse import Sparse


@pytest.mark.parametrize("amounts", [[], [1], [-1, 127], [128, -5], [40_000], [2**40, -(2**40)]])
def test_a_packed_vector_comes_back_whatever_it_holds(amounts: list[int]) -> None:
    vector = np.zeros(4000, np.int64)
    vector[np.arange(len(amounts)) * 700] = amounts
    found = np.zeros_like(vector)
    Sparse.unpack(Sparse.of(vector).pack()).add_to(found)
    np.testing.assert_array_equal(found, vector)


def test_small_amounts_take_one_byte_each() -> None:
    places, _, amounts = Sparse.of(np.arange(100, dtype=np.int64)).pack()
    assert (len(places), len(amounts)) == (198, 99)


def test_what_is_added_and_taken_away_leaves_no_trace() -> None:
    vector = np.arange(10, dtype=np.int64)
    sums = np.full(10, 7, np.int64)
    Sparse.of(vector).add_to(sums)
    Sparse.of(vector).take_from(sums)
    assert sums.tolist() == [7] * 10
