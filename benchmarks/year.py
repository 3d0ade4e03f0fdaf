"""A year of NEPSE: day after day of the simulator in one topic, replayed through the whole job from its beginning.

The topic is filled before the job starts, so the sender takes none of its cores. While it runs: how many ticks are
answered, the size of the checkpoints, the memory of all its processes.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from benchmarks.data import days
from benchmarks.field import FIELD
from benchmarks.results import OURS
from benchmarks.runs import Started
from benchmarks.throughput import committed_ends, consumer_of, usage
from console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.bench_stack import BenchStack
    from jobs.settings import Settings

YEAR_DAYS = 243
"""Trading days of a year."""
YEAR_TRADES = 20_000_000
_PREFIX = "bench-year"
_SYMBOLS = 340
_LOOK_EVERY_S, _SAY_EVERY_S = 1.0, 30.0
_STILL_S = 20.0
_STALL_S = 300.0


class Look(NamedTuple):
    """The job at one moment.

    Attributes:
        at: s since it was submitted.
        answered: Committed predictions, and the marks of the transactions that they came in.
        cpu_s: CPU time of its processes.
        memory: Of its processes, bytes.
        state: Size of its latest checkpoint, bytes.
    """

    at: float
    answered: int
    cpu_s: float
    memory: int
    state: int


def run_year(
    stack: BenchStack, count: int, trades_a_day: int, workers: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Fills the topic, runs the job over it, and says what it took.

    Args:
        stack: Where.
        count: Trading days.
        trades_a_day: Trades of each.
        workers: Slots of the job.
        say: Told, line by line, what is being done.

    Raises:
        CommandError: The job stopped on the way.
    """
    sent = 0
    for number, (day, ticks) in enumerate(days(count, trades_a_day, _SYMBOLS), start=1):
        sent += stack.send(_PREFIX, ticks)
        if number % 10 == 0 or number == count:
            say(f"{number} of {count} days, up to {day}: {sent:,} ticks")
    settings = stack.settings(_PREFIX, workers)
    with Started(FIELD[OURS], stack, settings, workers, "year") as run:
        run.start()
        looks = _watch(run, settings, sent, say)
    return year_of(looks, sent, count)


def year_of(looks: Sequence[Look], ticks: int, count: int) -> dict[str, Any]:
    """What the looks say.

    Args:
        looks: In order of time; the last one sees all ticks answered.
        ticks: How many there were.
        count: Over how many days.
    """
    steps = min(ticks // 1_000_000, 40) or 4
    parts = []
    for number in range(steps):
        before, after = (_at(looks, ticks * (number + edge) / steps) for edge in (0, 1))
        answered = (after.answered - before.answered) or 1
        parts.append(
            {
                "up_to_ticks": round(ticks * (number + 1) / steps),
                "s_per_million": round((after.at - before.at) / answered * 1e6, 2),
                "cpu_s_per_million": round((after.cpu_s - before.cpu_s) / answered * 1e6, 2),
                "state_mb": round(after.state / 1e6, 2),
            }
        )
    end = _at(looks, ticks)
    # The first part has the job's start and warm-up in it.
    second, last = parts[min(1, len(parts) - 1)], parts[-1]
    return {
        "ticks": ticks,
        "days": count,
        "minutes": round(end.at / 60, 2),
        "ticks_per_s": round(ticks / end.at, 1),
        "peak_memory_mb": round(max(look.memory for look in looks) / 1e6),
        "peak_state_mb": round(max(look.state for look in looks) / 1e6, 2),
        "last_by_second_part": round(last["s_per_million"] / second["s_per_million"], 3),
        "parts": parts,
    }


def _at(looks: Sequence[Look], answered: float) -> Look:
    return next((look for look in looks if look.answered >= answered), looks[-1])


def _watch(run: Started, settings: Settings, ticks: int, say: Callable[[str], None]) -> list[Look]:
    started = progress_at = said_at = time.monotonic()
    looks: list[Look] = []
    with closing(consumer_of(settings.kafka, run.predictions)) as consumer:
        while True:
            run.check()
            answered = sum(committed_ends(consumer))
            now = time.monotonic()
            used = usage(run.processes())
            if not looks or answered != looks[-1].answered:
                progress_at = now
            state = _state_size(settings) or (looks[-1].state if looks else 0)
            looks.append(Look(now - started, answered, used.cpu_s, used.memory, state))
            if now - said_at > _SAY_EVERY_S:
                said_at = now
                say(f"{answered:,} of {ticks:,} ticks after {now - started:.0f} s, state {state / 1e6:.1f} MB")
            if answered >= ticks and now - progress_at > _STILL_S:
                return looks
            if now - progress_at > _STALL_S:
                raise CommandError(f"nothing was committed for {_STALL_S:g} s, {answered:,} of {ticks:,} ticks done")
            time.sleep(_LOOK_EVERY_S)


def _state_size(settings: Settings) -> int:
    """Size of the latest completed checkpoint, bytes; 0 where there is none yet."""
    address = settings.flink.rest_address
    try:
        jobs = requests.get(f"{address}/jobs/overview", timeout=10).json()["jobs"]
        latest = requests.get(f"{address}/jobs/{jobs[0]['jid']}/checkpoints", timeout=10).json()["latest"]["completed"]
    except (requests.RequestException, KeyError, IndexError):
        return 0
    return int(latest["state_size"]) if latest else 0
