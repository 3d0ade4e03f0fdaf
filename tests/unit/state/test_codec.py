from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from state import codec

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.symbol_state import SymbolState


@pytest.fixture
def elements(new_state: Callable[[], SymbolState], opening: Callable[[date], int]) -> list[bytes]:
    """One element of each kind."""
    time = opening(date(2024, 7, 2))
    state = new_state()
    state.apply(time, 500.0, 10, 7, 1, 2)
    return [
        codec.encode_snapshot(state),
        codec.encode_trade(codec.Trade(time + 1, 500.0, 10, "7", 1, 3)),
        codec.encode_clock(time + 2),
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("version", [0, codec.VERSION + 1, 255])
def test_an_element_of_another_version_is_refused_with_a_sentence(
    new_state: Callable[[], SymbolState], elements: list[bytes], number: int, version: int
) -> None:
    foreign = bytes([version]) + elements[number][1:]
    expected = f"NABIL was written in form {version}, this tickcast reads form {codec.VERSION}"
    with pytest.raises(codec.StateVersionError, match=expected):
        codec.restore(new_state(), [elements[0], foreign], [])


def test_an_element_of_an_unknown_kind_is_refused(new_state: Callable[[], SymbolState]) -> None:
    with pytest.raises(codec.StateVersionError, match="unknown kind 9"):
        codec.restore(new_state(), [bytes([codec.VERSION, 9])], [])


def test_nothing_brings_back_a_symbol_without_a_past(new_state: Callable[[], SymbolState]) -> None:
    state = new_state()
    assert codec.restore(state, [], []) == 0
    assert codec.encode_snapshot(state) == codec.encode_snapshot(new_state())


def test_only_what_came_after_the_snapshot_counts_as_journal(
    new_state: Callable[[], SymbolState], elements: list[bytes]
) -> None:
    state = new_state()
    assert codec.restore(state, elements, [codec.encode_keys([7])]) == 2
    assert (state.trades, state.clock, state.seen) == (2, int.from_bytes(elements[2][2:], "little"), {7})


def test_a_trade_without_an_id_leaves_no_key(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int]
) -> None:
    state = new_state()
    codec.restore(state, [codec.encode_trade(codec.Trade(opening(date(2024, 7, 2)), 500.0, 1, None, 0, 0))], [])
    assert (state.trades, state.seen) == (1, set())


def test_the_largest_trades_the_rules_allow_can_be_kept(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int]
) -> None:
    state, restored = new_state(), new_state()
    time = opening(date(2024, 7, 2))
    for number in range(3):
        state.apply(time + number, 10_000_000.0, 10_000_000_000, None, 0, number)
    codec.restore(restored, [codec.encode_snapshot(state)], [])
    after = (time + 10, 9_999_999.9, 1, None, 0, 3)
    np.testing.assert_array_equal(restored.apply(*after), state.apply(*after))
    assert restored.advance(2**62) == state.advance(2**62)


@pytest.mark.parametrize("trade_id", [None, "7", "007", "é" * 30_000])
def test_a_trade_and_its_features_come_back_as_they_were(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int], trade_id: str | None
) -> None:
    trade = codec.Trade(opening(date(2024, 7, 2)), 500.1, 10**10, trade_id, 3, 2**40, 1_719_897_300, -1)
    key = codec.trade_key(trade_id)
    own = new_state().apply(trade.time, trade.price, trade.volume, key, trade.partition, trade.offset)
    assert list(codec.replay(new_state(), [codec.encode_trade(trade)], [])) == [(trade, own)]


@pytest.mark.parametrize("trade_id", [None, ""])
def test_without_an_id_there_is_no_key(trade_id: str | None) -> None:
    assert codec.trade_key(trade_id) is None


def test_ids_that_are_numbers_with_leading_zeros_or_19_digits_are_hashed() -> None:
    ids = ["0", "007", "7", "1" * 19, "१२", "+7", "7 "]
    keys = [codec.trade_key(trade_id) for trade_id in ids]
    assert len(set(keys)) == len(ids)
    assert [key is not None and key < 0 for key in keys] == [True, True, False, True, True, True, True]
