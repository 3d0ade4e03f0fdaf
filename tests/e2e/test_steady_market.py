"""A market that trades from the job's first second on and never pauses, as in a replay of history."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

import pytest

from jobs.topics import Topic
from state.tick import Tick, encode_tick

if TYPE_CHECKING:
    from tests.e2e.conftest import JobOnTrial  # type: ignore[import-not-found]

pytestmark = pytest.mark.timeout(600)

MINUTE_MS = 60_000
EVERY_MS = 5_000
SYMBOLS = ("NABIL", "NICA")
OPEN = int(datetime(2024, 7, 2, 5, 30, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def job_variables() -> dict[str, str]:
    """No partition is ever silent for so long that it is set aside; there is one for each subtask."""
    patience = {f"TICKCAST_{section}__IDLE_AFTER_S": "3600" for section in ("EVENT_TIME", "MARKET")}
    return {**patience, "TICKCAST_KAFKA__PARTITIONS": "2"}


def test_event_time_moves_and_bars_close_while_nothing_is_ever_idle(job: JobOnTrial) -> None:
    numbers = count()

    def trade() -> None:
        number = next(numbers)
        moment = OPEN + number * EVERY_MS
        for partition, symbol in enumerate(SYMBOLS):
            tick = Tick(symbol, 500.0, 10, moment, str(number))
            job.send(encode_tick(tick), symbol.encode(), moment, partition)

    job.await_watermark(OPEN + MINUTE_MS, meanwhile=trade)
    bars = job.await_committed(Topic.BARS, len(SYMBOLS))[: len(SYMBOLS)]
    assert {bar["symbol"]: bar["trades"] for bar in bars} == dict.fromkeys(SYMBOLS, MINUTE_MS // EVERY_MS)
