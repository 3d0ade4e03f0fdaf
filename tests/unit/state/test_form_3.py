"""Journals of the form before: the bytes below are put together as tickcast wrote them then."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest

from state import codec
from state.features import OWN_COUNT
from state.journal import Memory
from state.rules import TradingCalendar
from state.symbol_state import SymbolState
from tests.unit.state.conftest import Elements

if TYPE_CHECKING:
    from state.rules import MarketRules

START = 1_719_897_300_000
OWN = np.arange(OWN_COUNT, dtype=np.float32).tobytes()


def head(kind: int, length: int = 0) -> bytes:
    return struct.pack("<BBH", 2, kind, length)


def request(number: int, trade_id: str | None) -> bytes:
    packed = struct.pack("<iqqhI", 1, number, 1_719_897_000 + number, 7, number + 1)
    packed += OWN + orjson.dumps(("NABIL", START + number, trade_id, 500.0))
    return struct.pack("<I", len(packed)) + packed


def trade(number: int, trade_id: str | None) -> bytes:
    key = codec.trade_key(trade_id)
    entry = struct.pack("<BBqdqqBiq", 3, 2, START + number, 500.0, 10, key or 0, key is not None, 1, number)
    return head(1, len(entry)) + entry + request(number, trade_id)


def clock(watermark: int) -> bytes:
    entry = struct.pack("<BBq", 3, 3, watermark)
    return head(1, len(entry)) + entry


def recalled(rules: MarketRules, log: Elements, keys: Elements) -> Memory:
    memory = Memory(SymbolState("NABIL", rules, TradingCalendar(rules)), log, keys)
    memory.recall()
    return memory


def snapshot_after_one_trade(rules: MarketRules) -> bytes:
    state = SymbolState("NABIL", rules, TradingCalendar(rules))
    state.apply(START, 500.0, 10, codec.trade_key("t0"), 1, 0)
    return head(4) + bytes([3, 1]) + zlib.decompress(codec.encode_snapshot(state)[2:])


def test_a_former_journal_gives_its_state_its_requests_and_what_became_of_them(rules: MarketRules) -> None:
    log, keys = Elements(), Elements()
    position = struct.pack("<iq", 1, 2)
    log.values = [
        snapshot_after_one_trade(rules),
        head(2) + request(0, "t0"),
        trade(1, "007"),
        trade(2, "42"),
        trade(3, None),
        head(3) + position + orjson.dumps(("v1",)),
        head(6) + struct.pack("<iq", 1, 3),
        head(5) + struct.pack("<qq", 99, 1_719_897_000),
        clock(START - 1),
    ]
    keys.values = [codec.encode_keys([codec.trade_key("t0") or 0])]
    memory = recalled(rules, log, keys)
    assert memory.state.trades == 4
    assert memory.state.seen == {codec.trade_key(trade_id) for trade_id in ("t0", "007", "42")}
    assert memory.life == (99, 1_719_897_000)
    assert [one.subject.trade_id for one in memory.requests.values()] == ["t0", "007", "42", None]
    assert [one.subject.sequence for one in memory.requests.values()] == [1, 2, 3, 4]
    assert {(one.group, one.second - one.subject.offset) for one in memory.requests.values()} == {(7, 1_719_897_000)}
    first, _, given_up, skipped = memory.requests.values()
    assert first.own == OWN  # its trade came before the snapshot: what was written then is what there is
    assert (given_up.answered, given_up.versions, skipped.is_skipped) == (True, ("v1",), True)


def test_a_former_journal_goes_on_in_the_form_of_now_and_is_read_with_it(rules: MarketRules) -> None:
    log, keys = Elements(), Elements()
    log.values = [trade(0, "t0"), trade(1, "t1")]
    memory = recalled(rules, log, keys)
    own = memory.state.apply(START + 2, 501.0, 10, 5, 1, 2)
    memory.took(codec.Trade(START + 2, 501.0, 10, "5", 1, 2, 9, 7), 5, own)
    again = recalled(rules, log, keys)
    assert codec.encode_snapshot(again.state) == codec.encode_snapshot(memory.state)
    assert [one.own for one in again.requests.values()] == [one.own for one in memory.requests.values()]


def test_what_is_older_still_is_refused(rules: MarketRules) -> None:
    log = Elements()
    entry = struct.pack("<BBq", 2, 3, START)
    log.values = [head(1, len(entry)) + entry]
    with pytest.raises(codec.StateVersionError, match="written in form 2, this tickcast reads form"):
        recalled(rules, log, Elements())
