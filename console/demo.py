"""``tickcast demo``: one trading day through everything, and the proof that nothing got lost on the way."""

from __future__ import annotations

import os
import time
from datetime import date
from itertools import islice
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from console.demo_watch import Portion, TickName, Watch, written_to_redis_at
from console.errors import CommandError
from console.job import submit_job
from console.kafka_io import connection_config, read_committed
from console.stack.stack import Stack
from console.verify import Verdict, verify_topics
from feeds.producer import TickProducer
from feeds.replay import Replay
from feeds.run import feed
from feeds.simulator.day import DayParameters
from feeds.simulator.faults import Faults
from feeds.simulator.orders import TYPICAL_TRADES
from feeds.simulator.source import TYPICAL_DAY, TYPICAL_SYMBOLS, SimulatedDay
from feeds.simulator.universe import make_universe
from feeds.source import FeedError
from jobs.settings import Settings
from jobs.topics import Topic, topic_name
from training.metrics import measure
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from feeds.source import TickSource

WAKE_TICKS = 40
"""So many ticks go first, and are awaited: when the rest races after them, no partition is asleep any more."""
PEAK_TICKS, PEAK_RATE = 4_450, 890.0
"""The last ticks of the day go at the rate of NEPSE's worst second: those are timed."""
_ARRIVAL_TIMEOUT_S = 240.0
_SETTLE_TIMEOUT_S = 120.0
_QUIET_S = 3.0
_MOST_DUPLICATES = 100
"""So many unanswered ticks may be dropped duplicates; more are a failure."""
_MARK = "demo"


def demo(
    data: Annotated[
        Path | None, typer.Option("--data", help="Floorsheet, CSV or Parquet to replay; else a simulated day.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")] = False,
) -> None:
    """Run one trading day through everything and verify it; the stack stays up until `tickcast down`."""
    # Nothing follows the day: what waits for its minute at the close need not wait for long.
    os.environ.setdefault("TICKCAST_EVENT_TIME__CLOSE_AFTER_S", "15")
    settings = Settings()
    console = Console(stderr=as_json)
    try:
        day = _day(data)
    except FeedError as error:
        raise CommandError(str(error)) from error
    _fresh_stack(settings, console)
    console.print("submitting the job with flink run …")
    submit_job(settings)
    console.print(f"the job runs: {settings.flink.rest_address}")
    with Watch(settings) as watch:
        result = _run_day(settings, day, watch, console)
    console.print("recomputing the whole day offline …")
    verdict = verify_topics(settings)
    result |= {"verify": verdict.as_json(), "score": _live_score(settings)}
    if as_json:
        typer.echo(orjson.dumps(result).decode())
    else:
        _show(result, verdict, settings, console)
    if not verdict.clean:
        raise typer.Exit(1)


def _day(data: Path | None) -> TickSource:
    if data is not None:
        return Replay([data])
    seed = 1
    parameters = DayParameters(day=date.fromisoformat(TYPICAL_DAY), trades=TYPICAL_TRADES, seed=seed, halt=True)
    return SimulatedDay(make_universe(TYPICAL_SYMBOLS, seed), parameters, Faults(duplicates=5, late=5, malformed=7))


def _fresh_stack(settings: Settings, console: Console) -> None:
    """Starts the stack without a former demo's data; somebody's own data are not touched."""
    mark = settings.home / _MARK
    if settings.home.exists() and any(settings.home.iterdir()):
        if not mark.exists():
            raise CommandError(
                f"{settings.home} holds a stack that is no demo's: remove its data with `tickcast down --purge`, or"
                " let the demo use another folder with TICKCAST_STACK__HOME"
            )
        console.print("removing the former demo …")
        Stack(settings).down(purge=True)
    settings.home.mkdir(parents=True, exist_ok=True)
    mark.touch()
    Stack(settings).up(say=console.print)


def _run_day(settings: Settings, day: TickSource, watch: Watch, console: Console) -> dict[str, Any]:
    messages = list(day)
    peak = min(PEAK_TICKS, len(messages) // 4)
    wake = min(WAKE_TICKS, len(messages) - peak)
    flow = iter(messages)
    first = Portion(islice(flow, wake))
    most = Portion(islice(flow, len(messages) - wake - peak))
    last = Portion(flow, PEAK_RATE)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with (
        TickProducer(
            connection_config(settings.kafka),
            topic_name(Topic.TICKS, settings.kafka),
            max_ahead_ms=int(settings.event_time.max_ahead_s * 1000),
        ) as producer,
        Progress(*columns, console=console) as progress,
    ):
        sent_task = progress.add_task("ticks sent", total=len(messages), rate="")
        done_task = progress.add_task("ticks answered", total=len(messages), rate="")

        def show(sent: int) -> None:
            progress.update(sent_task, completed=sent)
            predicted = watch.counts[Topic.PREDICTIONS]
            progress.update(done_task, completed=watch.accounted, rate=f"{predicted:,} predictions")

        feed(first, producer)
        _await_answers(watch, wake, lambda: show(wake))
        began = time.monotonic()
        feed(most, producer, on_progress=lambda report: show(wake + report.sent))
        _await_answers(watch, len(messages) - peak, lambda: show(len(messages) - peak))
        seconds = max(watch.last_prediction_at - began, 1e-9)
        feed(last, producer, on_progress=lambda report: show(len(messages) - peak + report.sent))
        _await_answers(watch, len(messages), lambda: show(len(messages)))
        progress.add_task("last minute's outcomes", total=None, rate="")
        _await_outcomes(watch)
    return {
        "ticks_in": len(messages),
        "bad_rows": len(day.bad_rows),
        "throughput_ticks_per_s": (most.total or 0) / seconds,
        "latency_ms": {
            "rate_per_s": PEAK_RATE,
            "redis": _percentiles(last.sent_at, written_to_redis_at(settings)),
            "committed": _percentiles(last.sent_at, watch.seen_at),
        },
        "messages": {topic.value: count for topic, count in watch.counts.items()},
    }


def _await_answers(watch: Watch, wanted: int, show: Callable[[], None]) -> None:
    """Waits until every tick is answered, or nothing has come for a while: dropped duplicates have no answer."""
    deadline = time.monotonic() + _ARRIVAL_TIMEOUT_S
    before, changed_at = watch.accounted, time.monotonic()
    while watch.accounted < wanted:
        show()
        now = time.monotonic()
        if watch.error is not None:
            raise watch.error
        if watch.accounted != before:
            before, changed_at = watch.accounted, now
        missing = wanted - watch.accounted
        if before and missing <= _MOST_DUPLICATES and now - changed_at > _QUIET_S:
            break
        if now > deadline:
            raise CommandError(
                f"{missing:,} of {wanted:,} ticks have no answer after {_ARRIVAL_TIMEOUT_S:g} s; see `tickcast status`"
                " and the logs in the stack's folder"
            )
        time.sleep(0.05)
    show()


def _await_outcomes(watch: Watch) -> None:
    """Waits until every prediction is judged; `verify` says so if one never is."""
    deadline = time.monotonic() + _SETTLE_TIMEOUT_S
    while watch.counts[Topic.OUTCOMES] < watch.counts[Topic.PREDICTIONS] and time.monotonic() < deadline:
        time.sleep(0.1)


def _percentiles(sent_at: dict[TickName, float], arrived_at: dict[TickName, float]) -> dict[str, float | int]:
    ways = np.array([arrived_at[name] - sent for name, sent in sent_at.items() if name in arrived_at]) * 1000
    if not len(ways):
        return {"ticks": 0}
    p50, p99 = np.percentile(ways, [50, 99])
    return {"ticks": len(ways), "p50": round(float(p50), 1), "p99": round(float(p99), 1)}


def _live_score(settings: Settings) -> dict[str, Any]:
    outcomes = [orjson.loads(record.value) for record in read_committed(settings.kafka, [Topic.OUTCOMES])]
    active = [one for one in outcomes if one["role"] == "active"]
    if not active:
        return {}
    probabilities = np.array([[one["p_up"], one["p_flat"], one["p_down"]] for one in active], np.float32)
    labels = np.array([CLASSES.index(one["realised"]) for one in active], np.int8)
    return measure(probabilities, labels)


def _show(result: dict[str, Any], verdict: Verdict, settings: Settings, console: Console) -> None:
    table = Table(show_header=False, title="One trading day")
    table.add_column()
    table.add_column(justify="right")
    rows = [("ticks in", f"{verdict.ticks_in:,}"), ("predictions", f"{verdict.predictions:,}")]
    others = (Topic.BARS, Topic.ALERTS, Topic.OUTCOMES)
    rows += [(topic.value, f"{result['messages'].get(topic, 0):,}") for topic in others]
    rows += [
        ("late", f"{verdict.late:,}"),
        ("duplicates", f"{verdict.duplicates:,}"),
        ("dead letters", f"{verdict.dead_letters:,}"),
        ("throughput", f"{result['throughput_ticks_per_s']:,.0f} ticks/s"),
    ]
    for name, where in (("redis", "to Redis"), ("committed", "to a committed read")):
        latency = result["latency_ms"][name]
        if latency["ticks"]:
            text = f"p50 {latency['p50']:,.0f} ms, p99 {latency['p99']:,.0f} ms"
            rows.append((f"latency {where} at {PEAK_RATE:g} ticks/s", text))
    if score := result["score"]:
        rows.append(("live accuracy, three classes", f"{score['three_class']['accuracy']:.3f}"))
        rows.append(("live accuracy, moved prices", f"{score['non_flat']['accuracy']:.3f}"))
        rows.append(("live AUC, moved prices", f"{score['non_flat']['auc']:.3f}"))
    rows.append(("lost, duplicated, mismatched", f"{verdict.lost}, {verdict.duplicated}, {verdict.mismatched}"))
    rows.append(("verdict", "[green]clean[/]" if verdict.clean else "[bold red]NOT CLEAN: see `tickcast verify`[/]"))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for component in Stack(settings).components:
        console.print(f"{component.name:<9} {component.address}", highlight=False)
    console.print("Look at `tickcast tail alerts --from-beginning`; `make down` stops it all.")
