"""A day on which everything comes at the wrong time: late, again, not at all, or from a symbol never seen before."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest

from jobs.topics import Topic
from state.tick import Tick, encode_tick

if TYPE_CHECKING:
    from tests.e2e.conftest import JobOnTrial  # type: ignore[import-not-found]

pytestmark = pytest.mark.timeout(600)

WAIT_S = 120
MINUTE_MS = 60_000
OPEN = int(datetime(2024, 7, 2, 5, 30, tzinfo=UTC).timestamp() * 1000)
"""A moment in the session of a day that is long over."""
LATER = OPEN + 10 * MINUTE_MS


@pytest.fixture(scope="module")
def job_variables() -> dict[str, str]:
    """A silent partition is set aside soon, and so is a stream that has stopped."""
    return {"TICKCAST_EVENT_TIME__IDLE_AFTER_S": "10", "TICKCAST_EVENT_TIME__CLOSE_AFTER_S": "15"}


class Feed(NamedTuple):
    """Sends trades of one symbol to one partition."""

    job: JobOnTrial
    symbol: str
    partition: int

    def send(self, numbers: range, start: int = OPEN, every_ms: int = 2_000) -> int:
        """One trade per number, `every_ms` apart; the newest one's time."""
        for number in numbers:
            moment = start + number * every_ms
            tick = Tick(self.symbol, 500 + number % 7, 10, moment, f"{self.symbol} {start} {number}")
            self.job.send(encode_tick(tick), self.symbol.encode(), moment, self.partition)
        return moment


@pytest.fixture(scope="module")
def newest(job: JobOnTrial) -> int:
    """Time of the newest trade after everything was sent."""
    running, stopping = Feed(job, "NABIL", 0), Feed(job, "NICA", 1)
    # Within the bound, so that it does not matter which partition is read first.
    for feed in (running, stopping):
        feed.send(range(50), every_ms=200)
    job.await_committed(Topic.PREDICTIONS, 100)
    # One partition stops here; the other goes on, and event time with it.
    last = running.send(range(350), start=LATER)
    # Its last trades once more, as from a file that is there twice: the bound still holds them.
    running.send(range(346, 350), start=LATER)
    job.await_watermark(last - MINUTE_MS)
    # Two hours late, in the partition that had stopped.
    stopping.send(range(20), start=OPEN - 120 * MINUTE_MS)
    # A symbol that nobody has seen this morning.
    Feed(job, "HDL", 2).send(range(30), start=last, every_ms=100)
    # The day again, from its beginning.
    for feed in (running, stopping):
        feed.send(range(50), every_ms=200)
    running.send(range(300), start=LATER)
    return last + 29 * 100


def test_what_is_behind_the_watermark_is_late_to_the_last_tick(job: JobOnTrial, newest: int) -> None:
    late = job.await_committed(Topic.LATE, 20 + 50 + 50 + 300)
    assert len(late) == 20 + 50 + 50 + 300
    assert all(one["event_time"] < one["watermark"] < newest for one in late)
    assert sum(one["event_time"] < OPEN for one in late) == 20


def test_the_partition_that_stopped_has_all_its_predictions(job: JobOnTrial, newest: int) -> None:
    del newest
    predictions = job.await_committed(Topic.PREDICTIONS, 100 + 350 + 30)
    symbols = [one["symbol"] for one in predictions]
    assert {symbol: symbols.count(symbol) for symbol in set(symbols)} == {"NABIL": 400, "NICA": 50, "HDL": 30}


def test_the_new_symbols_first_trade_is_the_first_of_its_session(job: JobOnTrial, newest: int) -> None:
    del newest
    job.await_committed(Topic.PREDICTIONS, 480)
    sequences = [one["sequence"] for one in job.committed(Topic.PREDICTIONS) if one["symbol"] == "HDL"]
    assert sorted(sequences) == list(range(1, 31))


def test_every_tick_is_accounted_for_and_the_stream_that_stopped_is_settled(job: JobOnTrial, newest: int) -> None:
    del newest
    deadline = time.monotonic() + WAIT_S
    while (verdict := job.await_clean_verdict()).pending:
        assert time.monotonic() < deadline, verdict.as_json()
        time.sleep(0.5)
    assert (verdict.predictions, verdict.late, verdict.duplicates, verdict.dead_letters) == (480, 420, 4, 0)
