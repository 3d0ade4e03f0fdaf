"""Event time out of the messages themselves, written by producers whose record time is another."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from feeds.source import RawMessage
from jobs.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.settings import Settings

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

Json = dict[str, Any]
Results = dict[Topic, list[Json]]

NEPAL = timezone(timedelta(hours=5, minutes=45))
OPEN = int(datetime(2024, 7, 2, 5, 15, tzinfo=UTC).timestamp() * 1000)
FILLERS = 6000
END = OPEN + FILLERS * 100
HOUR_MS = 3_600_000


def iso(moment: int, zone: timezone, timespec: str) -> str:
    text = datetime.fromtimestamp(moment / 1000, zone).isoformat(timespec=timespec)
    return text.replace("+00:00", "Z")


FORMS: dict[str, object] = {
    "integer": END + 1000,
    "utc": iso(END + 2000, UTC, "seconds"),
    "utc with ms": iso(END + 3123, UTC, "milliseconds"),
    "zone": iso(END + 4000, NEPAL, "seconds"),
    "zone with ms": iso(END + 5123, NEPAL, "milliseconds"),
    "zone with us": iso(END + 6123, NEPAL, "microseconds"),
    "west": iso(END + 7000, timezone(timedelta(hours=-3, minutes=-30)), "seconds"),
}
TIMES = [END + 1000, END + 2000, END + 3123, END + 4000, END + 5123, END + 6123, END + 7000]


def message(timestamp: object, trade_id: str, record_time: int) -> tuple[int, RawMessage]:
    fields = {"symbol": "NABIL", "price": 500.5, "volume": 10, "timestamp": timestamp, "trade_id": trade_id}
    return 0, RawMessage(b"NABIL", orjson.dumps(fields), record_time)


@pytest.fixture(scope="module")
def results(make_deployment: Callable[..., Settings], run_pipeline: Callable[..., tuple[object, Results]]) -> Results:
    """A partition of many ticks, each form of a time, one time far ahead, one an hour late, and one good one."""
    now = int(time.time() * 1000)
    log = [message(OPEN + number * 100, str(number), now) for number in range(FILLERS)]
    log += [message(timestamp, form, now) for form, timestamp in FORMS.items()]
    log += [message(now + HOUR_MS, "ahead", now)]
    log += [message(END + 8000 + number, f"more {number}", now) for number in range(FILLERS)]
    log += [message(END - HOUR_MS, "late", now), message(END + 20_000, "last", now)]
    # Without a time of its own a message has its record's.
    log += [message(None, "timeless", now), message("yesterday", "wordy", now + 1)]
    settings = make_deployment(1, 1, source="payload")
    return run_pipeline(settings, log)[1]


def by_id(messages: list[Json]) -> dict[str, Json]:
    return {one["trade_id"]: one for one in messages}


@pytest.mark.parametrize(("form", "moment"), list(zip(FORMS, TIMES, strict=True)))
def test_each_form_of_a_time_is_understood(results: Results, form: str, moment: int) -> None:
    assert by_id(results[Topic.PREDICTIONS])[form]["event_time"] == moment


def test_a_time_beyond_the_bound_is_a_dead_letter_and_makes_no_other_tick_late(results: Results) -> None:
    [letter] = results[Topic.DEAD_LETTERS]
    assert "ahead of the clock" in letter["reason"]
    predicted = by_id(results[Topic.PREDICTIONS])
    assert {f"more {number}" for number in range(FILLERS)} | {"last"} <= set(predicted)


def test_a_tick_older_than_the_watermark_stands_in_late_alone_and_once(results: Results) -> None:
    [late] = results[Topic.LATE]
    assert (late["trade_id"], late["event_time"], late["symbol"]) == ("late", END - HOUR_MS, "NABIL")
    assert late["source"] == {"partition": 0, "offset": 2 * FILLERS + len(FORMS) + 1}
    assert OPEN <= late["watermark"] <= END + 8000 + FILLERS - 15_001, "below the newest tick by the bound and 1 ms"
    assert "late" not in by_id(results[Topic.PREDICTIONS])


def test_a_message_without_a_time_has_its_records(results: Results) -> None:
    predicted = by_id(results[Topic.PREDICTIONS])
    assert predicted["wordy"]["event_time"] == predicted["timeless"]["event_time"] + 1
    assert predicted["timeless"]["event_time"] > END + HOUR_MS


def test_the_market_is_summed_up_by_the_same_times(results: Results) -> None:
    seconds = {one["market_time"] for one in results[Topic.MARKET]}
    assert all(one["market_time"] in seconds for one in results[Topic.PREDICTIONS])
    assert max(seconds) <= max(one["event_time"] for one in results[Topic.PREDICTIONS])
