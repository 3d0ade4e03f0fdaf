"""The end of a trial: no tick is under way any more, and everything is compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import redis

from console.lag import partition_lags
from console.trial.stores import contradicted, missing_rows
from console.verify import verify_topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.verdict import Verdict
    from jobs.settings import Settings

_POLL_S = 1.0


class AtRest(NamedTuple):
    """What was found."""

    verdict: Verdict
    contradicted: list[str]
    """Symbols whose value in Redis is not the last committed one."""
    missing_rows: int
    """Rows by which PostgreSQL differs from what is committed."""
    settled: bool
    """Whether nothing was pending any more but what the feed's last trades themselves wait for."""

    @property
    def clean(self) -> bool:
        """Whether all is as it must be."""
        return self.verdict.clean and not self.contradicted and not self.missing_rows and self.settled


def await_rest(
    settings: Settings, timeout_s: float, unsettled: Callable[[Verdict], int], still_s: float = 5.0
) -> AtRest:
    """Compares when nothing moves any more, and again until all is well or the time is up.

    Args:
        settings: Where to look.
        timeout_s: How long a job that is behind may take; comparing, which takes minutes for millions of ticks, does
            not count.
        unsettled: How many results are pending beside those that may be.
        still_s: Nothing moves if for so long all topics are read to their ends and have got nothing.
    """
    left_s = timeout_s
    while True:
        left_s -= _await_stillness(settings, still_s, left_s)
        # First, while nothing moves: what the clock settles may come while millions of ticks are compared.
        stores = _stores(settings)
        verdict = verify_topics(settings)
        found = AtRest(verdict, *stores, settled=not unsettled(verdict))
        if found.clean or left_s <= 0:
            return found


def _await_stillness(settings: Settings, still_s: float, timeout_s: float) -> float:
    """Waits until nothing moves, or the time is up; returns how long it took."""
    began = still_since = time.monotonic()
    ends: list[int] = []
    while time.monotonic() < min(still_since + still_s, began + timeout_s):
        time.sleep(_POLL_S)
        lags = partition_lags(settings.kafka)
        before, ends = ends, [one.end for one in lags]
        if ends != before or any(one.lag for one in lags):
            still_since = time.monotonic()
    return time.monotonic() - began


def _stores(settings: Settings) -> tuple[list[str], int]:
    try:
        return contradicted(settings), missing_rows(settings)
    except (redis.RedisError, psycopg.Error) as error:
        return [f"a store does not answer: {error}"], 0
