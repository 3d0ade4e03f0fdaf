"""What a worker knows of the market."""

from __future__ import annotations

import numpy as np
import pytest

from state.codec import StateVersionError
from state.features import MARKET_COUNT, NO_MARKET
from state.market_board import MarketBoard
from state.market_state import block_length, columns_of


def block(number: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.arange(block_length(16), dtype=np.float32) + number


def test_a_tick_gets_the_columns_of_its_group() -> None:
    board = MarketBoard()
    board.post(10, block(0).tobytes(), ("v1",))
    board.post(11, block(500).tobytes(), ("v1",))
    for second, number in ((10, 0), (11, 500)):
        for group in (-1, 0, 15):
            assert board.columns(second, group) == columns_of(block(number), group)
    assert len(NO_MARKET) == MARKET_COUNT * 4


def test_only_the_newest_snapshots_stay() -> None:
    board = MarketBoard(keep=3)
    for second in range(10, 16):
        board.post(second, block(second).tobytes(), ("v1",))
    assert [second in board for second in range(10, 16)] == [False, False, False, True, True, True]
    assert board.newest == 15


def test_of_those_that_event_time_has_passed_fewer_stay_and_their_places_in_the_state_become_free() -> None:
    board = MarketBoard(keep=8, keep_past=2)
    for second in range(10, 17):
        board.post(second, block(second).tobytes(), ("v1",))
    assert board.forget(13) == [10 % 8, 11 % 8]
    assert [second in board for second in range(10, 17)] == [False, False, True, True, True, True, True]
    assert board.forget(13) == []


def test_a_place_that_a_newer_snapshot_has_taken_is_not_free() -> None:
    board = MarketBoard(keep=8, keep_past=1)
    night = 10 + 8 * 1000
    for second in (10, 11, night):
        board.post(second, block(second).tobytes(), ("v1",))
    assert board.place(night) == board.place(10)
    assert board.forget(night) == [11 % 8]
    assert night in board


def test_a_snapshot_that_had_to_make_room_leaves_its_place_even_if_no_other_takes_it() -> None:
    board = MarketBoard(keep=2)
    for second in (10, 13, 15):
        board.post(second, block(second).tobytes(), ("v1",))
    assert 10 not in board
    assert board.forget(0) == [board.place(10)]


def test_snapshots_come_back_out_of_the_state_in_whatever_order_it_gives_them() -> None:
    board, again = MarketBoard(keep=3), MarketBoard(keep=3)
    kept = [board.post(second, block(second).tobytes(), ("v1", f"v{second}")) for second in range(10, 14)]
    again.load([kept[3], kept[1], kept[2]])
    assert again.newest == 13
    assert again.versions(12) == ("v1", "v12")
    assert again.columns(11, 4) == board.columns(11, 4)


def test_where_there_is_no_snapshot_the_newest_one_names_the_versions() -> None:
    board = MarketBoard()
    assert board.versions(5) == ()
    board.post(10, block(0).tobytes(), ("v1",))
    board.post(11, block(0).tobytes(), ("v2",))
    assert (board.versions(10), board.versions(5)) == (("v1",), ("v2",))


def test_a_snapshot_of_another_form_is_refused_with_a_sentence() -> None:
    kept = MarketBoard().post(10, block(0).tobytes(), ("v1",))
    with pytest.raises(StateVersionError, match="was written in form 7, this tickcast reads form"):
        MarketBoard().load([b"\x07" + kept[1:]])
