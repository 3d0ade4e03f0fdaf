"""``tickcast chaos``: kills what keeps the job alive, at random moments, and counts what got lost."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import orjson
import typer
from rich.console import Console
from rich.table import Table

from console.errors import CommandError
from console.job import job_health
from console.trial.injuries import INJURIES, Ground, Miss
from console.trial.live_feed import SETTINGS, LiveFeed, unsettled
from console.trial.rest import await_rest
from console.trial.stack import trial_stack
from console.trial.watch import CommittedWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from console.trial.injuries import Injury
    from console.trial.rest import AtRest
    from console.trial.stack import Trial

KINDS = ("worker", "taskmanager", "jobmanager", "broker", "redis", "postgres", "commit", "pause")
"""What is done unless others are chosen."""
_STEADY_S = 120.0
_RECOVERY_S = 120.0
_REST_S = 120.0
_FRESH_S = 2.0
"""Steady means that a prediction no older than this is committed."""
_MOMENT_S = (0.5, 3.0)
"""A steady stack is left in peace for a time between these two."""
_POLL_S = 0.1


class Round(NamedTuple):
    """One injury and what became of it."""

    kind: str
    recovery_s: float | None
    """From the end of the injury to the first committed result of a tick sent after it; None: it did not come."""
    hit: bool
    detail: str


def chaos(
    rounds: Annotated[int, typer.Option(min=1, help="How many injuries.")] = 20,
    seed: Annotated[int, typer.Option(help="Of their order and moments, and of the simulated trades.")] = 1,
    rate: Annotated[float, typer.Option(min=1, metavar="TICKS_PER_S", help="Trades sent a second.")] = 100,
    kinds: Annotated[
        str, typer.Option(metavar="KIND,…", help=f"Kinds of injury, out of {', '.join(INJURIES)}.")
    ] = ",".join(KINDS),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")] = False,
) -> None:
    """Kill parts of a stack of its own at random moments while trades flow, and prove that nothing got lost.

    Exit code 0 only if every injury hit, the job came back each time, and nothing is lost, doubled or wrong: in the
    topics, in Redis and in PostgreSQL.
    """
    console = Console(stderr=as_json)
    chosen = _chosen(kinds)
    with trial_stack("chaos", console.print, SETTINGS) as trial:
        with LiveFeed(trial.settings, rate, seed) as feed, CommittedWatch(trial.settings) as watch:
            done = list(_injure(trial, Ground(trial.settings, watch), _plan(chosen, rounds, seed), seed, console))
            feed.finish()
            console.print("at rest: recomputing everything offline")
            rest = await_rest(trial.settings, _REST_S, unsettled)
        trial.failed = not (rest.clean and all(one.hit and one.recovery_s is not None for one in done))
    result = _result(done, rest) | {"ticks_sent": feed.sent, "clean": not trial.failed}
    if as_json:
        typer.echo(orjson.dumps(result).decode())
    else:
        _show(result, done, console)
    if trial.failed:
        raise typer.Exit(1)


def _chosen(kinds: str) -> list[str]:
    chosen = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    if unknown := [kind for kind in chosen if kind not in INJURIES]:
        raise CommandError(f"there is no kind of injury {unknown[0]!r}; take some of {', '.join(INJURIES)}")
    if not chosen:
        raise CommandError(f"no kind of injury was chosen; take some of {', '.join(INJURIES)}")
    return chosen


def _plan(kinds: list[str], rounds: int, seed: int) -> list[str]:
    """Every kind as often as the others, to one, in an order of its own in each turn."""
    choice = random.Random(seed)  # noqa: S311 - no secret
    plan: list[str] = []
    while len(plan) < rounds:
        plan += choice.sample(kinds, len(kinds))
    return plan[:rounds]


def _injure(trial: Trial, ground: Ground, plan: list[str], seed: int, console: Console) -> Iterator[Round]:
    moments = random.Random(seed)  # noqa: S311 - no secret
    for number, kind in enumerate(plan, start=1):
        if not _await_steady(trial, ground):
            yield Round(kind, None, hit=False, detail=f"nothing was injured: not steady for {_STEADY_S:.0f} s before")
            return
        time.sleep(moments.uniform(*_MOMENT_S))
        one = _injure_once(INJURIES[kind](ground))
        took = "did not recover" if one.recovery_s is None else f"{one.recovery_s:4.1f} s"
        console.print(f"{number:>3} {kind:<11} {took}  {one.detail}", highlight=False)
        yield one
        if one.recovery_s is None:
            return


def _injure_once(injury: Injury) -> Round:
    try:
        moment = injury.inflict()
    except Miss as miss:
        return Round(injury.kind, None, hit=False, detail=str(miss))
    seen_at = injury.await_recovery(moment, _RECOVERY_S)
    recovery_s = None if seen_at is None else seen_at - moment
    if recovery_s is None:
        return Round(injury.kind, None, hit=True, detail=f"no result for {_RECOVERY_S:.0f} s")
    try:
        return Round(injury.kind, recovery_s, hit=True, detail=injury.require_hit())
    except (Miss, CommandError) as miss:
        return Round(injury.kind, recovery_s, hit=False, detail=f"no hit: {miss}")


def _await_steady(trial: Trial, ground: Ground) -> bool:
    """Whether all parts do their work, and committed results are fresh, in time."""
    deadline = time.monotonic() + _STEADY_S
    while time.monotonic() < deadline:
        fresh = time.time() - ground.watch.newest.event_time / 1000 < _FRESH_S
        if fresh and all(health.healthy for health in trial.stack.health().values()) and _job_runs(trial):
            return True
        time.sleep(_POLL_S)
    return False


def _job_runs(trial: Trial) -> bool:
    try:
        return job_health(trial.settings).healthy
    except CommandError:
        return False


def _result(done: list[Round], rest: AtRest) -> dict[str, Any]:
    recoveries = [one.recovery_s for one in done if one.recovery_s is not None]
    by_kind: dict[str, list[float]] = {}
    for one in done:
        if one.recovery_s is not None:
            by_kind.setdefault(one.kind, []).append(round(one.recovery_s, 2))
    return {
        "rounds": len(done),
        "kills": dict(Counter(one.kind for one in done if one.hit)),
        "lost": rest.verdict.lost,
        "duplicated": rest.verdict.duplicated,
        "mismatched": rest.verdict.mismatched,
        "worst_recovery_s": round(max(recoveries), 2) if recoveries else None,
        "median_recovery_s": round(statistics.median(recoveries), 2) if recoveries else None,
        "recovery_s": by_kind,
        "missed": [f"{one.kind}: {one.detail}" for one in done if not one.hit or one.recovery_s is None],
        "redis_contradicted": rest.contradicted,
        "history_missing": rest.missing_rows,
        "unsettled": unsettled(rest.verdict),
        "verify": rest.verdict.as_json(),
    }


def _show(result: dict[str, Any], done: list[Round], console: Console) -> None:
    table = Table("injury", "hits", "worst recovery", "median", box=None, pad_edge=False)
    for kind, seconds in result["recovery_s"].items():
        hits = sum(one.hit for one in done if one.kind == kind)
        table.add_row(kind, str(hits), f"{max(seconds):.1f} s", f"{statistics.median(seconds):.1f} s")
    console.print(table)
    for sentence in result["missed"]:
        console.print(f"[bold red]{sentence}[/]")
    verdict = result["verify"]
    console.print(
        f"{verdict['ticks_in']:,} ticks in: lost {result['lost']}, duplicated {result['duplicated']},"
        f" mismatched {result['mismatched']}, unsettled {result['unsettled']};"
        f" Redis contradicts {len(result['redis_contradicted'])}, PostgreSQL lacks {result['history_missing']}"
    )
    console.print("[green]clean[/]" if result["clean"] else "[bold red]NOT CLEAN[/]")
