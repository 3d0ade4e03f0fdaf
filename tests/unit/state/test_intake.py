"""Which messages become ticks: what the parser alone can't know."""

from __future__ import annotations

import orjson
import pytest

from jobs.settings import Settings
from state.intake import Intake, TickTimes
from state.rules import load_rules
from state.tick import MAX_RAW_BYTES, BadTickError

NOW = 1_719_900_000_000
TIMES = TickTimes(out_of_orderness=15_000, max_ahead=10_000, earliest=NOW - 1_000_000, close_after=90_000)


@pytest.fixture
def intake() -> Intake:
    return Intake(load_rules(Settings().market.rules_file), TIMES)


def message(event_time: int = NOW) -> bytes:
    return orjson.dumps({"symbol": "NABIL", "price": 500.5, "volume": 10, "timestamp": event_time})


def admit(intake: Intake, event_time: int = NOW, record_time: int | None = None, key: str | None = "NABIL") -> int:
    raw = message(event_time)
    return intake.admit(raw, len(raw), key, event_time if record_time is None else record_time, NOW).event_time


def test_a_tick_at_every_bound_is_admitted(intake: Intake) -> None:
    assert admit(intake, NOW + 10_000) == NOW + 10_000
    assert admit(intake, NOW - 1_000_000) == NOW - 1_000_000
    assert admit(intake, NOW, NOW - 15_000) == NOW


def test_a_tick_beyond_a_bound_is_refused_with_the_setting_that_says_so(intake: Intake) -> None:
    with pytest.raises(BadTickError, match=r"10001 ms ahead of the clock.*event_time\.max_ahead_s"):
        admit(intake, NOW + 10_001)
    with pytest.raises(BadTickError, match=r"before event_time\.earliest"):
        admit(intake, NOW - 1_000_001)
    with pytest.raises(BadTickError, match=r"15001 ms from its record's.*event_time\.source=payload"):
        admit(intake, NOW, NOW - 15_001)


def test_a_record_under_another_symbols_key_is_refused_and_one_without_a_key_is_not(intake: Intake) -> None:
    with pytest.raises(BadTickError, match="'HDL' is not its symbol 'NABIL'"):
        admit(intake, key="HDL")
    assert admit(intake, key=None) == NOW


def test_a_message_whose_head_looks_like_a_tick_is_refused_by_its_whole_length(intake: Intake) -> None:
    with pytest.raises(BadTickError, match=f"of {MAX_RAW_BYTES + 1} bytes is longer"):
        intake.admit(message(), MAX_RAW_BYTES + 1, "NABIL", NOW, NOW)
