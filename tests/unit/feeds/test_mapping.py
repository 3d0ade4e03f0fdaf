"""From a feed's JSON to a tick."""

from __future__ import annotations

import orjson
import pytest

from feeds.mapping import PRESETS, UnmappableError, map_message
from state.tick import Tick, encode_tick

OWN, BINANCE = PRESETS["own"], PRESETS["binance"]
TRADE = {
    "e": "trade",
    "E": 1700000000005,
    "s": "BTCUSDT",
    "t": 9,
    "p": "37123.45",
    "q": "0.00012000",
    "T": 1700000000001,
}


def test_the_own_format_is_the_one_of_the_topic() -> None:
    tick = Tick("NABIL", 512.3, 40, 1_700_000_000_123, "2024072101000001", "42", "7")
    assert map_message(encode_tick(tick), OWN) == (tick, "2024072101000001")


def test_a_sequence_number_is_what_the_feed_resumes_after() -> None:
    message = {"symbol": "A", "price": 1, "volume": 2, "timestamp": 3, "trade_id": "x", "sequence": 77}
    assert map_message(orjson.dumps(message), OWN) == (Tick("A", 1.0, 2, 3, "x"), 77)


def test_an_iso_time_with_a_zone_is_read() -> None:
    message = {"symbol": "A", "price": 1, "volume": 2, "timestamp": "2024-07-21T11:00:00.123+05:45"}
    mapped = map_message(orjson.dumps(message), OWN)
    assert mapped == (Tick("A", 1.0, 2, 1_721_538_900_123), None)


@pytest.mark.parametrize("message", [TRADE, {"stream": "btcusdt@trade", "data": TRADE}])
def test_a_binance_trade_is_read_plain_and_combined(message: dict[str, object]) -> None:
    mapped = map_message(orjson.dumps(message), BINANCE)
    assert mapped == (Tick("BTCUSDT", 37123.45, 12_000, 1_700_000_000_001, "9"), "9")


def test_binance_quantities_count_the_smallest_fraction_exactly() -> None:
    mapped = map_message(orjson.dumps(TRADE | {"q": "123456.00000001"}), BINANCE)
    assert mapped is not None
    assert mapped[0].volume == 12_345_600_000_001


@pytest.mark.parametrize("message", [{"result": None, "id": 1}, {"e": "aggTrade", "s": "BTCUSDT"}])
def test_what_binance_says_besides_trades_is_passed_over(message: dict[str, object]) -> None:
    assert map_message(orjson.dumps(message), BINANCE) is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "no JSON object"),
        (orjson.dumps({"price": 1, "volume": 1, "timestamp": 1}), "'symbol' has no symbol"),
        (orjson.dumps({"symbol": "A", "price": 0, "volume": 1, "timestamp": 1}), "'price' is no price"),
        (orjson.dumps({"symbol": "A", "price": "NaN", "volume": 1, "timestamp": 1}), "'price' is no price"),
        (orjson.dumps({"symbol": "A", "price": "1e999", "volume": 1, "timestamp": 1}), "'price' is no price"),
        (orjson.dumps({"symbol": "A", "price": True, "volume": 1, "timestamp": 1}), "'price' is no price"),
        (orjson.dumps({"symbol": "A", "price": 1, "volume": 1.5, "timestamp": 1}), "'volume' is no quantity"),
        (orjson.dumps({"symbol": "A", "price": 1, "volume": "Infinity", "timestamp": 1}), "'volume' is no quantity"),
        (orjson.dumps({"symbol": "A", "price": 1, "volume": "1e999999999", "timestamp": 1}), "'volume' is no quantity"),
        (orjson.dumps({"symbol": "A", "price": 1, "volume": 1, "timestamp": 17 * 10**17}), "'timestamp' is no time"),
        (orjson.dumps({"symbol": "A", "price": 1, "timestamp": 1}), "'volume' is no quantity"),
        (orjson.dumps({"symbol": "A", "price": 1, "volume": 1, "timestamp": "2024-07-21"}), "'timestamp' is no time"),
        (orjson.dumps({"symbol": "A", "price": 1, "volume": 1}), "'timestamp' is no time"),
    ],
)
def test_a_message_that_is_no_tick_is_refused_with_its_reason(message: bytes, reason: str) -> None:
    with pytest.raises(UnmappableError, match=reason):
        map_message(message, OWN)
