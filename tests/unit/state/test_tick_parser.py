from __future__ import annotations

import json
from typing import Any

import pytest

from state.tick import MAX_RAW_BYTES, BadTickError, Tick, TickParser, encode_tick

RECORD_TIME = 1_719_900_000_000
GOOD: dict[str, Any] = {"symbol": "NABIL", "price": 512.5, "volume": 10, "timestamp": 1_719_900_000_123}


@pytest.fixture
def parser() -> TickParser:
    return TickParser("[A-Z0-9][A-Z0-9&./-]{0,19}", max_price=10_000_000, max_volume=10_000_000_000)


def message(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def message_without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def reason(parser: TickParser, raw: bytes | None) -> str:
    with pytest.raises(BadTickError) as caught:
        parser.parse(raw, RECORD_TIME)
    return str(caught.value)


def test_the_plain_form_of_other_producers_is_a_tick_without_id_and_brokers(parser: TickParser) -> None:
    assert parser.parse(message(), RECORD_TIME) == Tick("NABIL", 512.5, 10, 1_719_900_000_123, None, None, None)


def test_all_fields_are_read(parser: TickParser) -> None:
    tick = parser.parse(message(trade_id="2024070201000001", buyer="58", seller="44"), RECORD_TIME)
    assert (tick.trade_id, tick.buyer, tick.seller) == ("2024070201000001", "58", "44")


def test_fields_that_are_not_known_are_no_fault(parser: TickParser) -> None:
    assert parser.parse(message(exchange="NEPSE", flags=[1, 2]), RECORD_TIME).symbol == "NABIL"


def test_a_whole_number_of_rupees_is_a_price(parser: TickParser) -> None:
    price = parser.parse(message(price=512), RECORD_TIME).price
    assert (price, type(price)) == (512.0, float)


@pytest.mark.parametrize(
    "raw", [b"hello", b"{", b'{"symbol": "NABIL",}', b"NaN", b'{"symbol":"NABIL"} {}', b"[" * 60_000]
)
def test_what_is_not_json_is_refused(parser: TickParser, raw: bytes) -> None:
    assert "not JSON" in reason(parser, raw)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"[]", "array"),
        (b"1", "integer"),
        (b"1.5", "number"),
        (b'"x"', "string"),
        (b"true", "boolean"),
        (b"null", "null"),
    ],
)  # fmt: skip
def test_json_that_is_no_object_is_refused(parser: TickParser, raw: bytes, kind: str) -> None:
    assert reason(parser, raw) == f"the message is a JSON {kind}, not an object"


def test_an_empty_and_a_null_message_are_told_apart(parser: TickParser) -> None:
    assert reason(parser, b"") == "the message is empty"
    assert reason(parser, None) == "the message is null"


def test_a_message_is_refused_by_its_length_before_it_is_read(parser: TickParser) -> None:
    padding = MAX_RAW_BYTES - len(message(note=""))
    assert parser.parse(message(note="x" * padding), RECORD_TIME).symbol == "NABIL"
    assert "longer than 65536 bytes" in reason(parser, message(note="x" * (padding + 1)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1", "cp1252"])
def test_a_message_in_another_encoding_is_refused_as_such(parser: TickParser, encoding: str) -> None:
    raw = json.dumps(GOOD | {"buyer": "Café"}, ensure_ascii=False).encode(encoding)
    assert "not UTF-8" in reason(parser, raw)


@pytest.mark.parametrize("name", ["symbol", "price", "volume"])
def test_a_missing_field_is_named(parser: TickParser, name: str) -> None:
    assert reason(parser, message_without(name)) == f"the field '{name}' is missing"


@pytest.mark.parametrize("value", ["512.5", True, None, [512.5], {"value": 512.5}])
def test_a_price_that_is_no_number_is_refused(parser: TickParser, value: object) -> None:
    assert reason(parser, message(price=value)).startswith("price is a JSON ")


@pytest.mark.parametrize("value", ["10", True, None, 10.0, [10]])
def test_a_volume_that_is_no_integer_is_refused(parser: TickParser, value: object) -> None:
    assert reason(parser, message(volume=value)).startswith("volume is a JSON ")


@pytest.mark.parametrize("value", [7, True, None, ["NABIL"], {}])
def test_a_symbol_that_is_no_string_is_refused(parser: TickParser, value: object) -> None:
    assert reason(parser, message(symbol=value)).startswith("symbol is a JSON ")


@pytest.mark.parametrize(
    "number",
    ["0", "0.0", "-0.0", "-1", "-512.5", "1e-9", "0.00009", "10000000.1", "1e300", "9" * 18, "9" * 400, "-" + "9" * 30],
)
def test_a_price_out_of_bounds_is_refused(parser: TickParser, number: str) -> None:
    reason(parser, message_without("price")[:-1] + f', "price": {number}}}'.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "nan"])
@pytest.mark.parametrize("name", ["price", "volume"])
def test_a_number_that_is_none_is_refused(parser: TickParser, name: str, number: str) -> None:
    assert "not JSON" in reason(parser, message_without(name)[:-1] + f', "{name}": {number}}}'.encode())


def test_the_smallest_and_the_highest_price_are_taken(parser: TickParser) -> None:
    assert parser.parse(message(price=0.0001), RECORD_TIME).price == 0.0001
    assert parser.parse(message(price=10_000_000), RECORD_TIME).price == 10_000_000.0


@pytest.mark.parametrize("number", ["0", "-1", "10000000001", "9" * 40])
def test_a_volume_out_of_bounds_is_refused(parser: TickParser, number: str) -> None:
    reason(parser, message_without("volume")[:-1] + f', "volume": {number}}}'.encode())


def test_one_share_and_the_highest_volume_are_taken(parser: TickParser) -> None:
    assert parser.parse(message(volume=1), RECORD_TIME).volume == 1
    assert parser.parse(message(volume=10_000_000_000), RECORD_TIME).volume == 10_000_000_000


@pytest.mark.parametrize(
    "symbol", ["", " ", "nabil", "NABIL ", "NABIL\n", "NAB IL", "A" * 21, "नबिल", "*MARKET*", "A:B", "A;B"]
)
def test_an_unknown_symbol_is_refused_however_often_it_comes(parser: TickParser, symbol: str) -> None:
    for _ in range(2):
        assert reason(parser, message(symbol=symbol)).startswith("unknown symbol ")


def test_a_long_unknown_symbol_is_cut_in_the_reason(parser: TickParser) -> None:
    assert len(reason(parser, message(symbol="x" * 10_000))) < 120


@pytest.mark.parametrize("name", ["trade_id", "buyer", "seller"])
def test_an_id_may_be_a_number_and_is_taken_as_text(parser: TickParser, name: str) -> None:
    assert getattr(parser.parse(message(**{name: 2024070201000001}), RECORD_TIME), name) == "2024070201000001"
    assert getattr(parser.parse(message(**{name: 0}), RECORD_TIME), name) == "0"


@pytest.mark.parametrize("name", ["trade_id", "buyer", "seller"])
def test_an_empty_id_is_none(parser: TickParser, name: str) -> None:
    assert getattr(parser.parse(message(**{name: ""}), RECORD_TIME), name) is None
    assert getattr(parser.parse(message(**{name: None}), RECORD_TIME), name) is None


@pytest.mark.parametrize("value", [True, 1.5, [1], {}])
def test_an_id_that_is_neither_text_nor_integer_is_refused(parser: TickParser, value: object) -> None:
    assert reason(parser, message(trade_id=value)).startswith("trade_id is a JSON ")


@pytest.mark.parametrize(
    "text",
    [
        "2024-07-02T11:01:20.841+05:45",
        "2024-07-02T05:16:20.841Z",
        "2024-07-02T05:16:20.841000+00:00",
        "20240702T051620.841Z",
        "2024-07-02 01:16:20.841-04:00",
    ],
)
def test_an_iso_time_with_zone_is_the_trades_time(parser: TickParser, text: str) -> None:
    assert parser.parse(message(timestamp=text), RECORD_TIME).event_time == 1_719_897_380_841


@pytest.mark.parametrize(
    "value",
    [
        None, True, 1_719_900_000_123.0, "", "yesterday", "2024-07-02T11:01:20", "2024-07-02", "1719900000123", [], {},
        "2024-13-45T99:99:99Z",
    ],
)  # fmt: skip
def test_a_time_that_says_no_moment_falls_back_to_the_records(parser: TickParser, value: object) -> None:
    assert parser.parse(message(timestamp=value), RECORD_TIME).event_time == RECORD_TIME


def test_a_message_without_a_time_has_its_records(parser: TickParser) -> None:
    assert parser.parse(message_without("timestamp"), RECORD_TIME).event_time == RECORD_TIME


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"])
def test_the_ends_of_the_calendar_are_times_like_others(parser: TickParser, text: str) -> None:
    assert abs(parser.parse(message(timestamp=text), RECORD_TIME).event_time) > 10**13


def test_an_encoded_tick_leaves_out_what_is_not_known() -> None:
    assert json.loads(encode_tick(Tick("NABIL", 512.5, 10, 1_719_900_000_123))) == GOOD
