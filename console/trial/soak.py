"""``tickcast soak``: a long run at a steady rate, or a short one at far too high a rate, and what it does to memory."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import psutil
import typer
from rich.console import Console
from rich.table import Table

from console.demo import PEAK_RATE
from console.errors import CommandError
from console.stack.flink import TASKMANAGERS
from console.stack.process import DetachedProcess
from console.stack.python_workers import python_workers
from console.trial.live_feed import SETTINGS, DaysFeed, LiveFeed, unsettled, unsettled_days
from console.trial.rest import await_rest
from console.trial.samples import Sampler, Trend, floor_growth, trends
from console.trial.stack import trial_stack

if TYPE_CHECKING:
    from console.trial.rest import AtRest
    from console.trial.samples import Sample
    from console.trial.stack import Trial
    from jobs.settings import Settings

_SAMPLES = 120
"""About so many samples are taken, whatever the length."""
_SHORTEST_S, _LONGEST_S = 1.0, 15.0
_REST_S, _CATCH_UP_S = 300.0, 1800.0
_SETTLED_S = 90.0
"""After the last day no trade moves event time on: its last outcomes come when the machine's clock says so."""
_OVERLOAD_REST_S = 900.0
"""With the last trades a million outcomes fall due at once."""
_FLAT_MB_PER_HOUR = 60.0
"""Memory that grows by more in an hour, measured over ten minutes or more, is not flat."""
_JUDGED = ("jobmanager_mb", "native_mb", "workers_mb")
_FLAT_HEAP_MB = 100.0
"""A heap goes up and down by hundreds of MB: its floor may rise by so much by chance."""
_JUDGED_AFTER_MIN = 10.0
_TRADES_A_DAY = 80_000
_OVERLOAD = 5.0
_BACKLOG, _BACKLOG_S = 50_000, 60.0
"""So many ticks have to wait for the job before it is measured, and come about within this time."""
_WARM_UP_S = 20.0
_JOB_NICENESS = 19


def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long trades are sent.")] = 60,
    rate: Annotated[float, typer.Option(min=1, metavar="TICKS_PER_S", help="Trades a second.")] = PEAK_RATE,
    overload: Annotated[
        bool, typer.Option("--overload", help="Send five times what the job can take, then let it catch up.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the simulated trades.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")] = False,
) -> None:
    """Run a stack of its own at NEPSE's peak rate and sample memory, checkpoints and lag.

    The trades are those of whole days, pressed together, so that sessions begin and end; with `--overload` they are of
    this very moment.

    Exit code 0 only if all is clean in the end and, after ten minutes or more, memory was flat.
    """
    console = Console(stderr=as_json)
    with trial_stack("soak", console.print, SETTINGS) as trial:
        sampler, sent_before, sustainable = Sampler(trial.settings), 0, 0.0
        if overload:
            sustainable, sent_before = _sustainable(trial, sampler, seed, console)
            rate = _OVERLOAD * sustainable
            feed: LiveFeed = LiveFeed(trial.settings, rate, seed, first=sent_before)
        else:
            days, trades = _days_of(round(minutes * 60 * rate))
            feed = DaysFeed(trial.settings, rate, seed, days, trades)
            console.print(f"{days} trading days of {trades:,} trades each")
        console.print(f"sending {rate:,.0f} ticks/s for {minutes:g} minutes")
        with feed:
            began = time.monotonic()
            samples = _sample(sampler, minutes * 60, console)
            sent_s = time.monotonic() - began
            feed.finish()
        if overload:
            samples += _catch_up(sampler, console)
        sampler.close()
        if overload:
            rest = await_rest(trial.settings, _OVERLOAD_REST_S, unsettled)
        else:
            rest = await_rest(trial.settings, _REST_S, unsettled_days, _SETTLED_S)
        result = _result(samples, rest) | {"minutes": minutes, "ticks_per_s": round(feed.sent / sent_s, 1)}
        if overload:
            result |= {"sustainable_ticks_per_s": round(sustainable, 1), **_overload(samples)}
        flat = minutes < _JUDGED_AFTER_MIN or overload or _is_flat(samples)
        trial.failed = not (rest.clean and flat)
        result |= {"flat": flat, "clean": not trial.failed}
    if as_json:
        typer.echo(orjson.dumps(result).decode())
    else:
        _show(result, console)
    if trial.failed:
        raise typer.Exit(1)


def _days_of(total: int) -> tuple[int, int]:
    """How many trading days so many trades make, and the trades of each."""
    days = max(1, round(total / _TRADES_A_DAY))
    return days, total // days


def _sample(sampler: Sampler, seconds: float, console: Console) -> list[Sample]:
    every = min(max(seconds / _SAMPLES, _SHORTEST_S), _LONGEST_S)
    samples: list[Sample] = []
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        samples.append(sampler.take())
        if len(samples) % 20 == 1:
            console.print(samples[-1].as_line(), highlight=False)
        time.sleep(min(every, left))
    return samples


def _sustainable(trial: Trial, sampler: Sampler, seed: int, console: Console) -> tuple[float, int]:
    """Ticks a second that the job takes while more are waiting than it can take, and how many were sent to find out.

    Raises:
        CommandError: It takes more than this machine can send.
    """
    with LiveFeed(trial.settings, PEAK_RATE, seed) as feed:
        time.sleep(_WARM_UP_S)
        _let_sender_go_first(trial.settings)
        feed.per_second = float("inf")
        deadline = time.monotonic() + _BACKLOG_S
        while sampler.lag() < _BACKLOG:
            if time.monotonic() > deadline:
                raise CommandError(
                    f"the job keeps up with all that this machine can send: {feed.sent / _BACKLOG_S:,.0f} ticks/s"
                )
            time.sleep(_SHORTEST_S)
    first, began = sampler.lag(), time.monotonic()
    while (left := sampler.lag()) > first / 10 and time.monotonic() - began < _CATCH_UP_S:
        time.sleep(_SHORTEST_S)
    sustainable = (first - left) / (time.monotonic() - began)
    console.print(f"the job takes {sustainable:,.0f} ticks/s")
    return sustainable, feed.sent


def _let_sender_go_first(settings: Settings) -> None:
    """Gives the job's threads less of this machine than the one that sends has.

    Among dozens of them it would get so little that they keep up with whatever it can send.
    """
    for name in TASKMANAGERS:
        pid = DetachedProcess(settings.home, name).pid
        if pid is not None:
            for process in (psutil.Process(pid), *python_workers(pid)):
                for thread in process.threads():
                    os.setpriority(os.PRIO_PROCESS, thread.id, _JOB_NICENESS)


def _catch_up(sampler: Sampler, console: Console) -> list[Sample]:
    samples = [sampler.take()]
    deadline = time.monotonic() + _CATCH_UP_S
    while samples[-1].lag and time.monotonic() < deadline:
        time.sleep(_SHORTEST_S)
        samples.append(sampler.take())
    console.print(samples[-1].as_line(), highlight=False)
    return samples


def _result(samples: list[Sample], rest: AtRest) -> dict[str, Any]:
    verdict = rest.verdict
    return {
        "samples": len(samples),
        "heap_floor_growth_mb": round(floor_growth(samples), 1),
        "trends": {name: trend._asdict() for name, trend in trends(samples).items()},
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "mismatched": verdict.mismatched,
        "redis_contradicted": rest.contradicted,
        "history_missing": rest.missing_rows,
        "verify": verdict.as_json(),
    }


def _overload(samples: list[Sample]) -> dict[str, Any]:
    lags = [sample.lag for sample in samples]
    return {"lag_worst": max(lags), "lag_last": lags[-1]}


def _is_flat(samples: list[Sample]) -> bool:
    found = trends(samples)
    return all(found[name].per_hour <= _FLAT_MB_PER_HOUR for name in _JUDGED) and floor_growth(samples) <= _FLAT_HEAP_MB


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table("", *Trend._fields, box=None, pad_edge=False)
    for name, trend in result["trends"].items():
        table.add_row(name, *(f"{value:,.1f}" for value in trend.values()))
    console.print(table)
    console.print(f"lost {result['lost']}, duplicated {result['duplicated']}, mismatched {result['mismatched']}")
    console.print("[green]clean[/]" if result["clean"] else "[bold red]NOT CLEAN[/]")
