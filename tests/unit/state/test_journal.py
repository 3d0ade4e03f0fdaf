"""A symbol's memory in its two lists, and out of them again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from state import codec
from state.features import NO_MARKET
from state.journal import FOLD_BYTES, Memory
from state.requests import Request, Subject
from state.rules import TradingCalendar
from state.symbol_state import SymbolState
from tests.unit.state.conftest import Elements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from state.rules import MarketRules

START = 1_719_897_300_000
FOLDS = FOLD_BYTES // 400
"""About as many trades fill a journal."""


class Desk:
    """Takes trades of one symbol as the process function does, and can lose its memory."""

    def __init__(self, rules: MarketRules) -> None:
        self._rules = rules
        self.log, self.keys = Elements(), Elements()
        self.memory = self.recalled()

    def recalled(self) -> Memory:
        state = SymbolState("NABIL", self._rules, TradingCalendar(self._rules))
        return Memory(state, self.log, self.keys)

    def trade(self, number: int) -> Request:
        dice = random.Random(number)  # noqa: S311 - no secret
        time, price, volume = START + number * 700, 500.0 + dice.randrange(-20, 20) / 10, dice.randrange(1, 500)
        state = self.memory.state
        own = state.apply(time, price, volume, number, 1, number)
        request = Request(Subject("NABIL", time, f"id {number}", price, 1, number, state.trades), own, 3, time // 1000)
        self.memory.took(codec.encode_trade(time, price, volume, number, 1, number), number, request)
        return request

    def settle(self, number: int) -> None:
        """Event time comes so far that trades of a minute before this one are judged."""
        watermark = START + number * 700
        for one in self.memory.state.advance(watermark)[1]:
            del self.memory.requests[one.partition, one.offset]
        self.memory.moved(watermark)


def packed(requests: Iterable[Request]) -> list[bytes]:
    return sorted(request.pack() for request in requests)


@pytest.mark.parametrize("count", [1, FOLDS - 1, FOLDS, FOLDS + 1, 5 * FOLDS + 7])
def test_a_memory_that_is_recalled_has_the_same_state_and_the_same_open_requests(
    rules: MarketRules, count: int
) -> None:
    desk = Desk(rules)
    for number in range(count):
        desk.trade(number)
        if number % 20 == 19:
            desk.settle(number)
    recalled = desk.recalled()
    recalled.recall()
    assert packed(recalled.requests.values()) == packed(desk.memory.requests.values())
    assert recalled.state.seen == desk.memory.state.seen
    assert codec.encode_snapshot(recalled.state) == codec.encode_snapshot(desk.memory.state)


def test_the_journal_does_not_grow_with_the_number_of_trades(rules: MarketRules) -> None:
    desk = Desk(rules)
    sizes = []
    for number in range(3000):
        desk.trade(number)
        if number % 10 == 9:
            desk.settle(number)
        sizes.append(sum(map(len, desk.log.values)))
    assert max(sizes[2000:]) < 1.2 * max(sizes[500:1000])
    assert max(sizes) < 12 * FOLD_BYTES


@pytest.mark.parametrize("more", [0, 2 * FOLDS])
@pytest.mark.parametrize("recalls", [1, 2])
def test_a_request_that_was_answered_without_its_market_stays_so_however_often_it_is_recalled(
    rules: MarketRules, more: int, recalls: int
) -> None:
    desk = Desk(rules)
    request = desk.trade(0)
    request.give_up(("v1", "shadow"))
    desk.memory.gave_up(request)
    for number in range(1, more + 1):
        desk.trade(number)
    for _ in range(recalls):
        recalled = desk.recalled()
        recalled.recall()
    found = recalled.requests[request.position]
    assert (found.answered, found.market_time, found.versions) == (True, None, ("v1", "shadow"))
    assert found.columns == NO_MARKET
    assert sum(one.answered for one in recalled.requests.values()) == 1


def test_a_journal_of_another_form_is_refused_with_a_sentence(rules: MarketRules) -> None:
    desk = Desk(rules)
    desk.trade(0)
    desk.log.values[0] = b"\x63" + desk.log.values[0][1:]
    with pytest.raises(codec.StateVersionError, match="written in form 99, this tickcast reads form"):
        desk.recalled().recall()


@pytest.mark.parametrize("folds", [False, True])
def test_what_was_skipped_stays_skipped_and_is_no_request_without_a_market(rules: MarketRules, folds: bool) -> None:
    desk = Desk(rules)
    older, newer = desk.trade(0), desk.trade(1)
    older.give_up(("v1",))
    newer.replace(older)
    desk.memory.skipped(older)
    if folds:
        desk.memory.fold()
    for _ in range(2):
        recalled = desk.recalled()
        recalled.recall()
        assert recalled.requests[older.position].is_skipped
        assert recalled.requests[older.position].answered
        assert not recalled.requests[newer.position].is_skipped
        recalled.fold()
