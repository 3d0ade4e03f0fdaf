from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

import orjson
import pytest

from console.golden import Message, Position
from console.messages import Messages, Spool, TickLog

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID = [{"second": 3, "text": "a"}, {"second": 1, "text": "b"}, {"second": 3, "text": "c"}]
SYMBOLS = [f"S{number}" for number in range(50)]


@pytest.fixture
def spool() -> Iterator[Spool]:
    with Spool() as spool:
        yield spool


@pytest.fixture
def messages(spool: Spool) -> Messages:
    found = Messages(spool)
    for one in SAID:
        found.append(orjson.dumps(one))
    return found


def test_messages_are_gone_through_more_than_once_in_the_order_of_reading(messages: Messages) -> None:
    assert list(messages) == list(messages) == SAID
    assert len(messages) == 3
    assert SAID[1] in messages
    assert {"second": 1} not in messages


def test_more_messages_can_be_added_after_the_first_were_read(messages: Messages) -> None:
    assert list(messages) == SAID
    messages.append(orjson.dumps({"second": 4}))
    assert list(messages) == [*SAID, {"second": 4}]


def test_of_messages_with_one_key_the_first_counts_and_they_come_in_the_order_of_keys(messages: Messages) -> None:
    by_second = messages.by(itemgetter("second"))
    assert dict(by_second) == {3: SAID[0], 1: SAID[1]}
    assert list(by_second) == [1, 3]
    assert by_second.keys() - {1} == {3}
    assert by_second.get(2) is None


def test_shares_hold_each_symbols_messages_together_in_their_order_and_every_message_once(spool: Spool) -> None:
    found = Messages(spool)
    for number in range(3):
        for symbol in SYMBOLS:
            found.append(orjson.dumps({"symbol": symbol, "number": number}), symbol)
    shares = [list(found.share(number, 4)) for number in range(4)]
    assert all(shares)
    homes = [{one["symbol"] for one in share} for share in shares]
    assert sum(map(len, homes)) == len(SYMBOLS)
    for symbol in SYMBOLS:
        numbers = [one["number"] for share in shares for one in share if one["symbol"] == symbol]
        assert numbers == [0, 1, 2]


def test_ticks_and_results_of_a_symbol_are_in_the_same_share(spool: Spool) -> None:
    log, found = TickLog(spool), Messages(spool)
    for offset, symbol in enumerate(SYMBOLS):
        log.append(Message(Position(0, offset), 1000, symbol.encode(), symbol), symbol)
        found.append(orjson.dumps({"symbol": symbol}), symbol)
    for number in range(4):
        assert [one.key for one in log.share(number, 4)] == [one["symbol"] for one in found.share(number, 4)]


def test_a_tick_comes_back_as_it_was_with_and_without_key_and_value(spool: Spool) -> None:
    ticks = [
        Message(Position(1, 2), 3, b"\xff\x00", "NABIL"),
        Message(Position(2, 2**40), -1, None, None),
        Message(Position(0, 0), 2**45, b"", ""),
    ]
    log = TickLog(spool)
    for one in ticks:
        log.append(one, "")
    assert list(log) == ticks
