"""The end of a trial: no tick is under way any more, and everything is compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import redis

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


def await_rest(settings: Settings, timeout_s: float, unsettled: Callable[[Verdict], int]) -> AtRest:
    """Compares until all is well or the time is up.

    Args:
        settings: Where to look.
        timeout_s: How long a job that is behind may take.
        unsettled: How many results are pending beside those that may be.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        verdict = verify_topics(settings)
        found = AtRest(verdict, *_stores(settings), settled=not unsettled(verdict))
        if found.clean or time.monotonic() > deadline:
            return found
        time.sleep(_POLL_S)


def _stores(settings: Settings) -> tuple[list[str], int]:
    try:
        return contradicted(settings), missing_rows(settings)
    except (redis.RedisError, psycopg.Error) as error:
        return [f"a store does not answer: {error}"], 0
