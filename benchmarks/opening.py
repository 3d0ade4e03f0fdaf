"""The market's worst second is its first: how long its ticks are on their way after a silence, and after a restart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.data import PEAK_RATE
from benchmarks.latency import both_ways, job_and_view, send_and_watch
from console.job import stop_job, submit_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.bench_stack import BenchStack
    from jobs.settings import Settings

_PREFIX = "bench-opening"
_TICKS = 1_000
_BEFORE_S = 30.0
"""So long the market has been open before."""


def measure_opening(
    stack: BenchStack, idle_s: float, symbols: int, workers: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """The first 1,000 ticks, all in little more than a second, of a job that has state but nothing to do.

    Once after a silence; once after everything of Flink has been stopped with a savepoint and started again, so that
    every process is new; and once after the same with a rehearsal (`tickcast submit --warm-up`).

    Args:
        stack: Where.
        idle_s: How long the silence is.
        symbols: Over how many symbols.
        workers: Slots of the job.
        say: Told, line by line, what is being done.

    Raises:
        CommandError: The job, the view or the load did not do what they should.
    """
    with job_and_view(stack, _PREFIX, workers) as settings:
        say(f"{PEAK_RATE:g} ticks/s for {_BEFORE_S:g} s, then nothing for {idle_s:g} s …")
        sent = send_and_watch(settings, _BEFORE_S, symbols).ticks
        time.sleep(idle_s)
        after_idle = _burst(settings, symbols, sent)
        say(f"after the silence: {after_idle}")
        _restart(stack, settings, warm_up=False)
        after_restart = _burst(settings, symbols, sent + _TICKS)
        say(f"after a restart: {after_restart}")
        _restart(stack, settings, warm_up=True)
        after_rehearsal = _burst(settings, symbols, sent + 2 * _TICKS)
        say(f"after a restart with a rehearsal: {after_rehearsal}")
        return {
            "ticks": _TICKS,
            "idle_s": idle_s,
            "after_idle": after_idle,
            "after_restart": after_restart,
            "after_rehearsal": after_rehearsal,
        }


def _restart(stack: BenchStack, settings: Settings, *, warm_up: bool) -> None:
    savepoint = stop_job(settings)
    stack.stop("flink")
    stack.start("flink")
    submit_job(settings, savepoint, warm_up=warm_up)


def _burst(settings: Settings, symbols: int, first: int) -> dict[str, Any]:
    return both_ways(settings, send_and_watch(settings, _TICKS / PEAK_RATE, symbols, first))
