"""Messages that are no ticks, each between two good ones: the job says what is wrong with it, and goes on."""

from __future__ import annotations

import base64
import itertools
import re
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from kafka.errors import InvalidTimestampError

from console.job import job_health
from jobs.topics import Topic
from state.tick import MAX_RAW_BYTES

if TYPE_CHECKING:
    from tests.e2e.conftest import JobOnTrial  # type: ignore[import-not-found]

pytestmark = pytest.mark.timeout(600)

WAIT_S = 60
"""Flink's REST interface asks its TaskManagers for metrics every ten seconds."""

Json = dict[str, Any]

GOOD: Json = {"symbol": "NABIL", "price": 500.0, "volume": 10, "trade_id": "bad"}


def but(**fields: object) -> bytes:
    """A good tick but for some fields; None leaves one out."""
    return orjson.dumps({name: value for name, value in {**GOOD, **fields}.items() if value is not None})


def at(moment: object) -> bytes:
    return but(timestamp=moment)


NOW = int(time.time() * 1000)
HOUR_MS = 3_600_000

BAD: dict[str, tuple[bytes | None, str]] = {
    "empty": (b"", "is empty"),
    "null": (None, "is null"),
    "not JSON": (b"NABIL,500,10", "not JSON"),
    "cut JSON": (but()[:-5], "not JSON"),
    "two in one": (but() + but(), "not JSON"),
    "deeply nested": (b"[" * 5_000, "not JSON"),
    "an array": (b"[1, 2, 3]", "array, not an object"),
    "a number": (b"42", "integer, not an object"),
    "UTF-16": (but().decode().encode("utf-16"), "not UTF-8"),
    "Latin-1": (but(buyer="Müller").decode().encode("latin-1"), "not UTF-8"),
    "zero bytes": (b"\x00" * 100, "not JSON"),
    "no symbol": (but(symbol=None), "'symbol' is missing"),
    "no price": (but(price=None), "'price' is missing"),
    "no volume": (but(volume=None), "'volume' is missing"),
    "price as text": (but(price="500.0"), "price is a JSON string"),
    "price as object": (but(price={"amount": 500}), "price is a JSON object"),
    "price true": (but(price=True), "price is a JSON boolean"),
    "negative price": (but(price=-500.0), "price -500.0 is not"),
    "zero price": (but(price=0), "price 0.0 is not"),
    "price NaN": (but(price=0).replace(b":0", b":NaN"), "not JSON"),
    "price infinite": (but(price=0).replace(b":0", b":1e999"), "price inf is not|not JSON"),
    "huge price": (but(price=1e300), "price 1e[+]300 is not"),
    "huge whole price": (but(price=0).replace(b":0", b":1" + b"0" * 400), "price inf is not|not JSON"),
    "fraction of a share": (but(volume=1.5), "volume is a JSON number"),
    "negative volume": (but(volume=-1), "volume -1 is not"),
    "huge volume": (but(volume=2**63 - 1), "volume 9223372036854775807 is not"),
    "symbol as number": (but(symbol=7), "symbol is a JSON integer|is not its symbol"),
    "unknown symbol": (but(symbol="no:such;symbol"), "unknown symbol"),
    "lower case": (but(symbol="nabil"), "unknown symbol"),
    "symbol of another key": (but(symbol="NICA"), "key 'NABIL' is not its symbol 'NICA'"),
    "id as array": (but(trade_id=[1]), "trade_id is a JSON array"),
    "far past": (at(0), "before event_time.earliest"),
    "before Christ": (at(-(10**14)), "before event_time.earliest"),
    "time in seconds": (at(NOW // 1000), "before event_time.earliest"),
    "hours ahead": (at(NOW + 3 * HOUR_MS), "ahead of the clock"),
    "end of time": (at(2**63 - 1), "ahead of the clock"),
    "beyond 64 bits": (at(2**64 - 1), "ahead of the clock"),
    "another time than its record": (at(NOW - HOUR_MS), "event_time.source=payload"),
    "10 MB": (but(note="x" * 10_000_000), "longer than"),
}


@pytest.fixture(scope="module")
def sent(job: JobOnTrial) -> dict[str, int]:
    """Offsets of the bad messages, each between two good ticks; all in one partition."""
    offsets = {}
    for number, (name, (value, _)) in enumerate(BAD.items()):
        job.tick("NABIL", f"good {number}", 500 + number % 7)
        offsets[name] = job.send(value, b"NABIL")
    job.tick("NABIL", "last")
    return offsets


@pytest.fixture(scope="module")
def letters(job: JobOnTrial, sent: dict[str, int]) -> dict[int, Json]:
    """Dead letters by the offset of their message."""
    messages = job.await_committed(Topic.DEAD_LETTERS, len(sent))
    assert len(messages) == len(sent)
    return {message["source"]["offset"]: message for message in messages}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_a_dead_letter_with_its_reason(
    letters: dict[int, Json], sent: dict[str, int], job: JobOnTrial, name: str
) -> None:
    value, reason = BAD[name]
    letter = letters[sent[name]]
    assert re.search(reason, letter["reason"])
    assert base64.b64decode(letter["raw"]) == (value or b"")[:MAX_RAW_BYTES]
    assert letter["raw_bytes"] == len(value or b"")
    assert letter["topic"] == f"{job.settings.kafka.topic_prefix}-ticks"


def test_the_good_ticks_between_them_are_predicted_and_none_is_late(job: JobOnTrial, letters: dict[int, Json]) -> None:
    del letters
    expected = {*(f"good {number}" for number in range(len(BAD))), "last"}
    assert {one["trade_id"] for one in job.await_committed(Topic.PREDICTIONS, len(expected))} == expected
    assert job.committed(Topic.LATE) == []


def test_a_key_that_is_no_text_is_a_dead_letter_and_an_empty_one_is_none(job: JobOnTrial) -> None:
    before = len(job.await_committed(Topic.PREDICTIONS, len(BAD) + 1))
    no_text = job.send(but(trade_id="no text"), b"\xff\xfe")
    empty = job.send(but(trade_id="empty key"), b"")
    predictions = {one["source"]["offset"]: one for one in job.await_committed(Topic.PREDICTIONS, before + 1)}
    assert predictions[empty]["trade_id"] == "empty key"
    letters = job.await_committed(Topic.DEAD_LETTERS, len(BAD) + 1)
    [reason] = [one["reason"] for one in letters if one["source"]["offset"] == no_text]
    assert "is not its symbol 'NABIL'" in reason


def test_a_clock_that_runs_seconds_ahead_is_believed_and_makes_no_tick_late(job: JobOnTrial) -> None:
    before = len(job.committed(Topic.PREDICTIONS))
    job.tick("NICA", "ahead", ahead_ms=5_000)
    job.tick("NICA", "after")
    predictions = job.await_committed(Topic.PREDICTIONS, before + 2)
    assert {"ahead", "after"} <= {one["trade_id"] for one in predictions}
    assert job.committed(Topic.LATE) == []


def test_a_record_time_beyond_the_bound_never_enters_the_topic(job: JobOnTrial) -> None:
    with pytest.raises(InvalidTimestampError):
        job.tick("NICA", "tomorrow", ahead_ms=24 * HOUR_MS)


def test_a_tick_of_yesterday_stands_in_late_once(job: JobOnTrial) -> None:
    # Until the partitions in which nothing stands are set aside there is no watermark, and so nothing is late.
    numbers = itertools.count()
    job.await_watermark(NOW - HOUR_MS, meanwhile=lambda: job.tick("NICA", f"meanwhile {next(numbers)}"))
    offset = job.tick("NICA", "yesterday", ahead_ms=-24 * HOUR_MS)
    [late] = job.await_committed(Topic.LATE, 1)
    assert late["source"] == {"partition": 0, "offset": offset}
    assert late["watermark"] > late["event_time"]


def test_the_job_has_not_failed_once_and_every_message_is_accounted_for(job: JobOnTrial) -> None:
    assert job_health(job.settings).healthy
    assert job.rest.root_cause(job.job.id) == ""
    verdict = job.await_clean_verdict()
    assert (verdict.dead_letters, verdict.late, verdict.duplicates) == (len(BAD) + 1, 1, 0)


def test_flinks_counters_say_how_many_messages_were_bad_and_how_many_late(job: JobOnTrial) -> None:
    expected = {"ticks_dead_letter": len(BAD) + 1, "ticks_late": 1, "ticks_duplicate": 0}
    deadline = time.monotonic() + WAIT_S
    while (told := {name: job.counted(name) for name in expected}) != expected:
        assert time.monotonic() < deadline, told
        time.sleep(1)
