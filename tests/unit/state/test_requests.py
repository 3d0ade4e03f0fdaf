"""Requests to the model."""

from __future__ import annotations

import numpy as np

from state.features import MARKET_COUNT, OWN_COUNT
from state.requests import Request, Subject


def answered(number: int, versions: tuple[str, ...] = ("v1",)) -> Request:
    subject = Subject("NABIL", 1_000 + number, f"é{number}" if number % 2 else None, 500.1, 2, 2**40 + number, 7)
    request = Request(subject, np.full(OWN_COUNT, number, np.float32).tobytes(), -1, 12)
    request.columns = np.full(MARKET_COUNT, -number, np.float32).tobytes()
    request.market_time = 12_000 if number else None
    request.versions = versions
    return request


def test_a_prediction_in_place_of_older_ones_names_them_all_and_they_are_skipped() -> None:
    first, second, third = answered(0), answered(1), answered(2)
    second.replace(first)
    third.replace(second)
    assert [one.is_skipped for one in (first, second, third)] == [True, True, False]
    assert third.conflated == [(2, 2**40), (2, 2**40 + 1)]
    assert second.conflated is None
