from __future__ import annotations

import pytest

from state.outcomes import OutcomeBook

T = 1_719_897_300_000


def outcome_of_the_first(*trades: tuple[int, int]) -> tuple[float, str]:
    book = OutcomeBook()
    for offset, (time, price) in enumerate(trades):
        book.add(time, price, 0, offset)
    one = next(one for one in book.settle(2**62) if one.offset == 0)
    return one.realised_price, one.direction


def test_a_book_without_predictions_waits_for_nothing() -> None:
    book = OutcomeBook()
    assert (book.next_due, book.last_due, book.settle(2**62)) == (None, None, [])


def test_without_a_later_trade_a_prediction_realises_flat_at_its_own_price() -> None:
    assert outcome_of_the_first((T, 5_000_000)) == (500.0, "flat")


@pytest.mark.parametrize(("price", "direction"), [(5_001_000, "up"), (5_000_000, "flat"), (4_999_000, "down")])
def test_the_price_of_a_minute_later_decides(price: int, direction: str) -> None:
    assert outcome_of_the_first((T, 5_000_000), (T + 30_000, price)) == (price / 10_000, direction)


def test_the_trade_at_the_minutes_last_millisecond_counts_and_the_next_does_not() -> None:
    assert outcome_of_the_first((T, 5_000_000), (T + 60_000, 5_010_000), (T + 60_001, 5_020_000)) == (501.0, "up")


def test_a_trade_of_the_same_millisecond_is_no_later_price() -> None:
    assert outcome_of_the_first((T, 5_000_000), (T, 5_010_000)) == (500.0, "flat")


def test_a_trade_that_arrives_behind_decides_where_it_is_the_last_of_the_minute() -> None:
    assert outcome_of_the_first((T, 5_000_000), (T + 61_000, 5_020_000), (T + 59_000, 4_990_000)) == (499.0, "down")


def test_nothing_is_judged_before_its_minute_has_passed() -> None:
    book = OutcomeBook()
    book.add(T, 5_000_000, 0, 0)
    assert book.settle(T + 59_999) == []
    assert len(book.settle(T + 60_000)) == 1
    assert book.settle(2**62) == []
