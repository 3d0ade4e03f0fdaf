"""A symbol's memory in its two lists, and out of them again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from state import codec
from state.features import NO_MARKET
from state.journal import FOLD_BYTES, Memory
from state.rules import TradingCalendar
from state.symbol_state import SymbolState
from tests.unit.state.conftest import Elements

if TYPE_CHECKING:
    from state.requests import Request
    from state.rules import MarketRules

START = 1_719_897_300_000
FOLDS = FOLD_BYTES // 60
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
        trade_id = f"{number + 1}" if number % 2 else f"id {number}"
        key = codec.trade_key(trade_id)
        own = self.memory.state.apply(time, price, volume, key, 1, number)
        trade = codec.Trade(time, price, volume, trade_id, 1, number, time // 1000, 3)
        return self.memory.took(trade, key, own)

    def settle(self, number: int) -> None:
        """Event time comes so far that trades of a minute before this one are judged."""
        self.pass_to(START + number * 700)

    def pass_to(self, watermark: int) -> None:
        for one in self.memory.state.advance(watermark)[1]:
            del self.memory.requests[one.partition, one.offset]
        self.memory.moved(watermark)

    @property
    def size(self) -> int:
        """Bytes of both lists."""
        return sum(map(len, self.log.values + self.keys.values))


def held(memory: Memory) -> dict[tuple[int, int], tuple[object, ...]]:
    """What is known of the open requests before their answers."""
    return {place: (one.subject, one.own, one.group, one.second) for place, one in memory.requests.items()}


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
    assert held(recalled) == held(desk.memory)
    assert recalled.state.seen == desk.memory.state.seen
    assert codec.encode_snapshot(recalled.state) == codec.encode_snapshot(desk.memory.state)


def test_the_journal_does_not_grow_with_the_number_of_trades(rules: MarketRules) -> None:
    desk = Desk(rules)
    sizes = []
    for number in range(5000):
        desk.trade(number)
        if number % 10 == 9:
            desk.settle(number)
        sizes.append(sum(map(len, desk.log.values)))
    assert max(sizes[3000:]) < 1.2 * max(sizes[1000:2000])
    assert max(sizes) < 6 * FOLD_BYTES
    assert len(desk.keys.values) < 100


def test_an_open_request_costs_no_more_than_its_trade(rules: MarketRules) -> None:
    desk = Desk(rules)
    desk.trade(0)
    before = desk.size
    for number in range(1, 51):
        desk.trade(number)
    assert desk.size - before < 50 * 70
    assert len(desk.memory.requests) == 51


def test_a_day_that_is_over_leaves_little_behind(rules: MarketRules) -> None:
    desk = Desk(rules)
    for number in range(400):
        desk.trade(number)
    busy = desk.size
    desk.pass_to(START + 86_400_000)
    assert desk.size < busy / 20
    assert not desk.keys.values
    recalled = desk.recalled()
    recalled.recall()
    assert not recalled.state.seen
    assert recalled.state.previous_close == desk.memory.state.previous_close > 0


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
    desk.settle(60)
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


@pytest.mark.parametrize("more", [0, 2 * FOLDS])
def test_what_was_skipped_stays_skipped_and_is_no_request_without_a_market(rules: MarketRules, more: int) -> None:
    desk = Desk(rules)
    older, newer = desk.trade(0), desk.trade(1)
    older.give_up(("v1",))
    newer.replace(older)
    desk.memory.skipped(older)
    for number in range(2, more + 2):
        desk.trade(number)
    for _ in range(2):
        recalled = desk.recalled()
        recalled.recall()
        assert recalled.requests[older.position].is_skipped
        assert recalled.requests[older.position].answered
        assert not recalled.requests[newer.position].is_skipped
