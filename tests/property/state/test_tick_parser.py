"""Whatever comes over the wire: a valid tick, or a sentence why it is none; never anything else."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from state.tick import BadTickError, Tick, TickParser, encode_tick

PATTERN = "[A-Z0-9][A-Z0-9&./-]{0,19}"
PARSER = TickParser(PATTERN, max_price=10_000_000, max_volume=10_000_000_000)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)
believable = {
    "symbol": st.from_regex(PATTERN, fullmatch=True) | anything,
    "price": st.floats(0, 2e7) | anything,
    "volume": st.integers(-1, 20_000_000_000) | anything,
    "timestamp": st.integers() | st.datetimes(timezones=st.timezones()).map(str) | anything,
    "trade_id": st.text() | st.integers(0) | anything,
    "buyer": anything,
}
ids = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
ticks = st.builds(
    Tick,
    st.from_regex(PATTERN, fullmatch=True, alphabet=st.characters(codec="ascii")),
    st.floats(0.0001, 10_000_000),
    st.integers(1, 10_000_000_000),
    st.integers(-(2**63), 2**63 - 1),
    ids,
    ids,
    ids,
)


def assert_says_why(error: BadTickError) -> None:
    assert re.search(r"\w+ \w+", str(error))


def check(raw: bytes | None, record_time: int = 7) -> None:
    try:
        tick = PARSER.parse(raw, record_time)
    except BadTickError as error:
        assert_says_why(error)
        return
    assert re.fullmatch(PATTERN, tick.symbol)
    assert 0 < tick.price <= 10_000_000
    assert type(tick.price) is float
    assert 0 < tick.volume <= 10_000_000_000
    assert type(tick.volume) is int
    assert type(tick.event_time) is int
    assert all(one is None or (isinstance(one, str) and one) for one in (tick.trade_id, tick.buyer, tick.seller))


@given(st.binary() | st.text().map(str.encode) | st.none())
@example(b'{"symbol":"\\ud800","price":1,"volume":1}')
@example(b"\xef\xbb\xbf{}")
def test_arbitrary_bytes_are_a_tick_or_a_reason(raw: bytes | None) -> None:
    check(raw)


@given(anything)
def test_arbitrary_json_is_a_tick_or_a_reason(value: object) -> None:
    check(json.dumps(value).encode("utf-8", "surrogatepass"))


@given(st.fixed_dictionaries({}, optional=believable), st.integers(-(2**63), 2**63 - 1))
def test_an_object_with_the_right_names_is_a_tick_or_a_reason(fields: dict[str, object], record_time: int) -> None:
    check(json.dumps(fields).encode("utf-8", "surrogatepass"), record_time)


@given(ticks, st.data())
def test_a_message_cut_off_anywhere_is_refused(tick: Tick, data: st.DataObject) -> None:
    raw = encode_tick(tick)
    with pytest.raises(BadTickError):
        PARSER.parse(raw[: data.draw(st.integers(0, len(raw) - 1))], 7)


@given(ticks)
def test_what_is_encoded_is_read_back_bit_for_bit(tick: Tick) -> None:
    assert PARSER.parse(encode_tick(tick), record_time=7) == tick
