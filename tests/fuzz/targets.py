"""What foreign bytes may do to each reader of them: be taken, or be refused in its words. Anything else is a find.

The same functions are driven by hypothesis (`test_targets.py`, in every test run) and by atheris (`make fuzz`).
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack

from feeds.mapping import PRESETS, UnmappableError, map_message
from feeds.replay import Replay
from feeds.source import FeedError
from jobs.settings import PROJECT_ROOT, Settings
from state.codec import StateVersionError, Trade, encode_snapshot, encode_trade, restore
from state.intake import Intake
from state.rules import MarketRules, TradingCalendar, load_rules
from state.symbol_state import SymbolState
from state.tick import BadTickError, Tick, encode_tick

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parent / "corpus"
NOON = 1_721_542_500_000
NOT_THE_FORM = (
    struct.error,
    zlib.error,
    msgpack.UnpackException,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
)
"""How Python says that bytes do not have the form, or numbers not the range, that they should have."""


@cache
def rules() -> MarketRules:
    """NEPSE's rules as they are shipped."""
    return load_rules(PROJECT_ROOT / "flink-conf" / "markets" / "nepse.yaml")


@cache
def intake() -> Intake:
    """The job's gate, with the settings' bounds."""
    return Intake(rules(), Settings().event_time.in_ms())


def new_state() -> SymbolState:
    """A symbol that has no past."""
    return SymbolState("NABIL", rules(), TradingCalendar(rules()))


def check(tick: Tick) -> None:
    """A tick that got through is one in every respect, and can be sent on."""
    assert isinstance(tick.symbol, str)
    assert tick.symbol
    assert type(tick.price) is float
    assert 0 < tick.price < float("inf")
    assert type(tick.volume) is int
    assert tick.volume > 0
    assert type(tick.event_time) is int
    assert encode_tick(tick)


def tick(data: bytes) -> None:
    """The topic of ticks: a tick or a dead letter."""
    try:
        admitted = intake().admit(data, len(data), None, NOON, NOON)
    except BadTickError as reason:
        assert str(reason)  # noqa: PT017 - one outcome of several
        return
    check(admitted)
    assert abs(admitted.event_time - NOON) <= Settings().event_time.in_ms().out_of_orderness


def feed(data: bytes) -> None:
    """A WebSocket's messages: a tick, none of a trade, or a reason."""
    for mapping in PRESETS.values():
        try:
            mapped = map_message(data, mapping)
        except UnmappableError as reason:
            assert str(reason)  # noqa: PT017 - one outcome of several
            continue
        if mapped is not None:
            check(mapped[0])


def file(data: bytes) -> None:
    """A CSV file: its trades, with a list of the rows that are none, or a reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ticks.csv"
        path.write_bytes(data)
        try:
            replay = Replay([path])
            ticks = list(replay)
        except FeedError as reason:
            assert str(reason)  # noqa: PT017 - one outcome of several
            return
        for one in ticks:
            check(one)
        assert all(str(row) for row in replay.bad_rows)


def state(data: bytes) -> None:
    """What Flink gives back as a symbol's memory: read, or refused before a tick is taken."""
    for elements, keys in (([data], []), ([snapshot(), data], []), ([snapshot()], [data])):
        try:
            entries = restore(new_state(), elements, keys)
        except StateVersionError as reason:
            assert "NABIL" in str(reason)  # noqa: PT017 - one outcome of several
        except NOT_THE_FORM:
            continue
        else:
            assert 0 <= entries <= len(elements)


@cache
def snapshot() -> bytes:
    """The memory of a symbol that has traded."""
    traded = new_state()
    for number in range(5):
        traded.apply(NOON + 1000 * number, 500.0 + number, 10, number, 1, number)
    return encode_snapshot(traded)


TARGETS: dict[str, Callable[[bytes], None]] = {"tick": tick, "feed": feed, "file": file, "state": state}


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with: whole ones of every kind, and the cases that were found."""
    whole = Tick("NABIL", 500.5, 10, NOON, "2024072101000001", "42", "7")
    binance = b'{"stream":"x","data":{"e":"trade","s":"BTCUSDT","t":9,"p":"37123.45","q":"0.00012","T":1700000000001}}'
    sheet = (
        b"contractId,stockSymbol,buyerMemberId,sellerMemberId,contractQuantity,contractRate,tradeBookId,tradeTime\n"
        b"2024072101000001,NABIL,42,7,10,500.5,1,2024-07-21T11:00:00.5\n"
    )
    plain = b"symbol,price,volume,timestamp,trade_id\nNABIL,500.5,10,1721542500000,1\nHDL,1,2,2024-07-21T11:00:00Z,\n"
    given = {
        "tick": [encode_tick(whole), encode_tick(whole).replace(str(NOON).encode(), b'"2024-07-21T06:15:00Z"')],
        "feed": [encode_tick(whole), binance],
        "file": [sheet, plain],
        "state": [snapshot(), encode_trade(Trade(NOON + 9000, 500.0, 10, "7", 1, 9))],
    }
    return given[target] + [case.read_bytes() for case in sorted((CORPUS / target).glob("*"))]
