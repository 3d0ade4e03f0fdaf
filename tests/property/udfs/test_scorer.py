from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import softmax

from udfs.scorer import probabilities

margins_of_rows = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=st.floats(-50, 50, width=32)
)


@given(margins_of_rows, st.floats(0.25, 4.0))
def test_probabilities_are_the_softmax_of_margins_over_temperature(margins: np.ndarray, temperature: float) -> None:
    expected = softmax(margins.astype(np.float64) / temperature, axis=1)
    np.testing.assert_allclose(probabilities(margins, temperature), expected, rtol=1e-6, atol=1e-37)


@given(margins_of_rows, st.integers(1, 7))
def test_probabilities_do_not_depend_on_where_a_row_stands(margins: np.ndarray, size: int) -> None:
    together = probabilities(margins, 1.7)
    parts = [probabilities(margins[i : i + size], 1.7) for i in range(0, len(margins), size)]
    assert np.concatenate(parts).tobytes() == together.tobytes()
