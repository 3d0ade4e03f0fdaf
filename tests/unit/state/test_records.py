from __future__ import annotations

import base64
import json
from math import inf, nan

import numpy as np
import pytest

from state import records
from state.bars import Bar
from state.market_alerts import MarketAlert
from state.market_state import MarketSnapshot
from state.symbol_alerts import Alert
from state.tick import Tick

SNAPSHOT = MarketSnapshot(
    second=1_719_897_380,
    advancing=3,
    declining=2,
    trades=40,
    turnover=1_234.5,
    returns=(0.01, 0.02, 0.03),
    index_return=-0.04,
    index_is_proxy=True,
    block=np.array([0.1, nan, -2.0], np.float32),
)


def test_a_bar_is_said_with_all_fields_of_the_contract_and_its_closing_trades_position() -> None:
    bar = Bar("5m", 1_000, 301_000, 500.0, 505.0, 499.0, 501.0, 70, 502.5, 6, 502.0, 2, 99)
    assert records.bar_record("NABIL", bar) == {
        "symbol": "NABIL", "interval": "5m", "window_start": 1_000, "window_end": 301_000, "open": 500.0, "high": 505.0,
        "low": 499.0, "close": 501.0, "volume": 70, "vwap": 502.5, "trades": 6, "mean_price": 502.0,
        "source": {"partition": 2, "offset": 99},
    }  # fmt: skip


def test_a_symbols_alert_names_the_trade_that_raised_it() -> None:
    record = records.alert_record("NABIL", Alert("breakout", 7, 505.0, 506.0, "NABIL left", 2, 99))
    assert record == {
        "rule": "breakout", "symbol": "NABIL", "threshold": 505.0, "value": 506.0, "event_time": 7,
        "message": "NABIL left", "detail": {}, "source": {"partition": 2, "offset": 99},
    }  # fmt: skip


def test_a_market_alert_gives_start_and_end_of_the_halt_and_stands_at_the_second_it_was_found() -> None:
    found = records.market_alert_record(MarketAlert("index_halt", 60_000, 0.04, 0.04, "halt", 60_000, 1_260_000))
    assert (found["symbol"], found["detail"]) == ("*MARKET*", {"start": 60_000, "end": 1_260_000})
    assert (found["event_time"], found["source"]) == (60_000, {"partition": -1, "offset": 1_260})


def test_a_halt_announced_by_the_index_and_the_same_one_found_by_its_length_have_positions_of_their_own() -> None:
    announced = MarketAlert("index_halt", 60_000, 0.04, 0.041, "the index has moved", 60_000)
    found = MarketAlert("index_halt", 60_000, 0.04, 0.04, "the halt lasted", 60_000, 1_260_000)
    sources = [records.market_alert_record(one)["source"] for one in (announced, found)]
    assert sources == [{"partition": -1, "offset": 60}, {"partition": -1, "offset": 1_260}]


def test_a_snapshot_gives_its_numbers_and_the_very_floats_of_the_model() -> None:
    record = json.loads(records.to_json(records.market_record(SNAPSHOT, ("v2", "v3"))))
    assert record.pop("block") == [0.1, None, -2.0]
    assert record == {
        "market_time": 1_719_897_380_000, "advancing": 3, "declining": 2, "trades_60s": 40, "turnover_60s": 1_234.5,
        "return_60s": 0.01, "return_120s": 0.02, "return_300s": 0.03, "index_return": -0.04, "index_is_proxy": True,
        "model_versions": ["v2", "v3"],
    }  # fmt: skip


def test_a_late_tick_keeps_all_its_fields_and_says_which_watermark_had_passed_it() -> None:
    tick = Tick("NABIL", 500.5, 10, 1_000, "7", None, "44")
    assert records.late_record(tick, 2_000, 1, 5) == {
        "symbol": "NABIL", "price": 500.5, "volume": 10, "timestamp": 1_000, "trade_id": "7", "buyer": None,
        "seller": "44", "event_time": 1_000, "watermark": 2_000, "source": {"partition": 1, "offset": 5},
    }  # fmt: skip


@pytest.mark.parametrize("raw", [b"", b"not json", bytes(range(256)), "Café".encode("utf-16")])
def test_a_dead_letter_gives_back_the_very_bytes(raw: bytes) -> None:
    record = json.loads(records.to_json(records.dead_letter_record(raw, 9_999, "why", "nepse-ticks", 1, 5, 77)))
    assert base64.b64decode(record.pop("raw"), validate=True) == raw
    assert record == {
        "raw_bytes": 9_999, "reason": "why", "topic": "nepse-ticks", "source": {"partition": 1, "offset": 5},
        "received_at": 77,
    }  # fmt: skip


@pytest.mark.parametrize("number", [nan, inf, -inf])
def test_what_is_no_number_becomes_null(number: float) -> None:
    assert records.to_json({"value": number}) == b'{"value":null}'


def test_text_of_any_script_stays_readable() -> None:
    assert records.to_json({"message": "नेप्से ≥ 4 %"}).decode() == '{"message":"नेप्से ≥ 4 %"}'
