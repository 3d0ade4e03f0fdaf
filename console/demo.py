"""``tickcast demo``: one trading day through everything, and the proof that nothing got lost on the way."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from console.demo_home import start_fresh
from console.demo_report import live_score, percentiles, show
from console.demo_watch import Portion, Watch, answers_to, written_to_redis_at
from console.errors import CommandError
from console.job import submit_job
from console.kafka_io import connection_config
from console.verify import verify_topics
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
from state.rules import TradingCalendar, load_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from feeds.source import RawMessage, TickSource
    from state.tick import Tick

WARM_UP_TICKS = 40
"""So many ticks go first, and are awaited: the first ones are slow."""
WAKE_TICKS, WAKE_RATE = 450, 150.0
"""The next ones go slowly: a partition that fell asleep meanwhile must be awake before the rest races through all."""
PEAK_TICKS, PEAK_RATE = 4_450, 890.0
"""The last ticks of the day go at the rate of NEPSE's worst second: those are timed."""
SIMULATED_FAULTS = Faults(duplicates=5, late=5, malformed=7)
"""What goes wrong on the simulated day."""
_FEWEST_TRADES = 1_000
_ARRIVAL_TIMEOUT_S = 240.0
_SETTLE_TIMEOUT_S = 120.0


def demo(
    data: Annotated[
        Path | None, typer.Option("--data", help="Floorsheet, CSV or Parquet to replay; else a simulated day.")
    ] = None,
    trades: Annotated[int, typer.Option(min=_FEWEST_TRADES, help="Trades of the simulated day.")] = TYPICAL_TRADES,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")] = False,
) -> None:
    """Run one trading day through everything and verify it; the stack stays up until `tickcast down`."""
    settings = Settings()
    console = Console(stderr=as_json)
    try:
        day = _day(data, trades)
        messages = list(day)
    except FeedError as error:
        raise CommandError(str(error)) from error
    start_fresh(settings, len(messages), console.print)
    console.print("submitting the job with flink run …")
    submit_job(settings)
    console.print(f"the job runs: {settings.flink.rest_address}")
    with Watch(settings) as watch:
        result = _run_day(settings, messages, watch, console)
    console.print("recomputing the whole day offline …")
    verdict = verify_topics(settings)
    result |= {"bad_rows": len(day.bad_rows), "verify": verdict.as_json(), "score": live_score(settings)}
    if as_json:
        typer.echo(orjson.dumps(result).decode())
    else:
        show(result, verdict, settings, console)
    if not verdict.clean:
        raise typer.Exit(1)


def _day(data: Path | None, trades: int) -> TickSource:
    if data is not None:
        return Replay([data])
    seed = 1
    parameters = DayParameters(day=date.fromisoformat(TYPICAL_DAY), trades=trades, seed=seed, halt=True)
    return SimulatedDay(make_universe(TYPICAL_SYMBOLS, seed), parameters, SIMULATED_FAULTS)


def _run_day(settings: Settings, messages: list[Tick | RawMessage], watch: Watch, console: Console) -> dict[str, Any]:
    calendar = TradingCalendar(load_rules(settings.market.rules_file))
    peak = len(messages) - min(PEAK_TICKS, len(messages) // 4)
    awake = min(WARM_UP_TICKS + WAKE_TICKS, peak)
    last = Portion(messages[peak:], PEAK_RATE)
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
        done_task = progress.add_task("ticks answered", total=answers_to(messages, calendar), rate="")

        def show_sent(sent: int) -> None:
            progress.update(sent_task, completed=sent)
            predicted = watch.counts[Topic.PREDICTIONS]
            progress.update(done_task, completed=watch.answered, rate=f"{predicted:,} predictions")

        def await_answers(sent: int) -> None:
            _await_answers(watch, answers_to(messages[:sent], calendar), lambda: show_sent(sent))

        feed(Portion(messages[:WARM_UP_TICKS]), producer)
        await_answers(WARM_UP_TICKS)
        feed(Portion(messages[WARM_UP_TICKS:awake], WAKE_RATE), producer)
        began = time.monotonic()
        most = Portion(messages[awake:peak])
        feed(most, producer, on_progress=lambda report: show_sent(awake + report.sent))
        await_answers(peak)
        seconds = max(watch.last_prediction_at - began, 1e-9)
        feed(last, producer, on_progress=lambda report: show_sent(peak + report.sent))
        await_answers(len(messages))
        progress.add_task("last minute's outcomes", total=None, rate="")
        _await_outcomes(watch)
    return {
        "ticks_in": len(messages),
        "throughput_ticks_per_s": (peak - awake) / seconds,
        "latency_ms": {
            "rate_per_s": PEAK_RATE,
            "redis": percentiles(last.sent_at, written_to_redis_at(settings)),
            "committed": percentiles(last.sent_at, watch.seen_at),
        },
        "messages": {topic.value: count for topic, count in watch.counts.items()},
    }


def _await_answers(watch: Watch, wanted: int, show_progress: Callable[[], None]) -> None:
    deadline = time.monotonic() + _ARRIVAL_TIMEOUT_S
    while watch.answered < wanted:
        if watch.error is not None:
            raise watch.error
        if time.monotonic() > deadline:
            raise CommandError(
                f"{wanted - watch.answered:,} of {wanted:,} ticks have no answer after {_ARRIVAL_TIMEOUT_S:g} s; see"
                " `tickcast status` and the logs in the stack's folder"
            )
        show_progress()
        time.sleep(0.05)
    show_progress()


def _await_outcomes(watch: Watch) -> None:
    """Waits until every prediction is judged and in the live scores; `verify` says so if one never is."""
    deadline = time.monotonic() + _SETTLE_TIMEOUT_S
    while not watch.settled and time.monotonic() < deadline:
        time.sleep(0.1)
