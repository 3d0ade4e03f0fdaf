from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from state.outcomes import HORIZON_MS, OutcomeBook
from state.window import PRICE_UNITS
from training.labels import label_moves
from udfs.manifest import CLASSES

trades = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 200_000), st.sampled_from([99.9, 100.0, 100.1])), max_size=60
)


@given(trades)
def test_labels_equal_a_search_through_every_later_trade(rows: list[tuple[int, int, float]]) -> None:
    expected = []
    for symbol, time, price in rows:
        later = [row for row in rows if row[0] == symbol and time < row[1] <= time + HORIZON_MS]
        last = max(later, key=lambda row: row[1])[1] if later else None
        change = [row[2] for row in later if row[1] == last][-1] - price if later else 0.0
        expected.append("up" if change > 0 else "down" if change < 0 else "flat")
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    labels = label_moves(*(np.array(column, kind) for column, kind in zip(columns, "qqd", strict=True)))
    assert [CLASSES[label] for label in labels] == expected


@given(trades)
def test_labels_equal_what_the_job_realises(rows: list[tuple[int, int, float]]) -> None:
    books = {symbol: OutcomeBook() for symbol, _, _ in rows}
    for offset, (symbol, time, price) in enumerate(rows):
        books[symbol].add(time, round(price * PRICE_UNITS), 0, offset)
    realised = {outcome.offset: outcome.direction for book in books.values() for outcome in book.settle(10**9)}
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    labels = label_moves(*(np.array(column, kind) for column, kind in zip(columns, "qqd", strict=True)))
    assert [CLASSES[label] for label in labels] == [realised[offset] for offset in range(len(rows))]
