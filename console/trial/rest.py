"""The end of a trial: no tick is under way any more, and everything is compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import redis

from console.trial.stores import contradicted, missing_rows
from console.verify import verify_topics

if TYPE_CHECKING:
    from console.verdict import Verdict
    from jobs.settings import Settings

_ARRIVE_S = 120.0
_SETTLE_S = 420.0
"""A five-minute bar that was just opened closes after this long, watermark and patience included."""
_POLL_S = 1.0
_SETTLE_POLL_S = 10.0


class AtRest(NamedTuple):
    """What was found."""

    verdict: Verdict
    contradicted: list[str]
    """Symbols whose value in Redis is not the last committed one."""
    missing_rows: int
    """Rows by which PostgreSQL differs from what is committed."""
    settled: bool
    """Whether nothing was pending any more, if that was wanted."""

    @property
    def clean(self) -> bool:
        """Whether all is as it must be."""
        return self.verdict.clean and not self.contradicted and not self.missing_rows and self.settled


def await_rest(settings: Settings, *, settle: bool) -> AtRest:
    """Compares until all is well or the time is up.

    Args:
        settings: Where to look.
        settle: Also wait for the results that event time has yet to reach.
    """
    deadline = time.monotonic() + _ARRIVE_S
    settle_deadline = deadline + _SETTLE_S
    while True:
        verdict = verify_topics(settings)
        settled = not (settle and verdict.pending)
        now = time.monotonic()
        if verdict.clean and settled:
            found = AtRest(verdict, *_stores(settings), settled)
            if found.clean or now > deadline:
                return found
        elif now > (settle_deadline if verdict.clean else deadline):
            return AtRest(verdict, *_stores(settings), settled)
        time.sleep(_SETTLE_POLL_S if verdict.clean and not settled else _POLL_S)


def _stores(settings: Settings) -> tuple[list[str], int]:
    try:
        return contradicted(settings), missing_rows(settings)
    except (redis.RedisError, psycopg.Error) as error:
        return [f"a store does not answer: {error}"], 0
