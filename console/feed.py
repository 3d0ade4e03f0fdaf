"""``tickcast feed``: ticks into Kafka, from the simulator, from files or from a WebSocket."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path  # noqa: TC003 typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from console.errors import CommandError
from console.kafka_io import connection_config
from console.logs import configure_logging
from feeds.mapping import PRESETS
from feeds.pacing import parse_speed
from feeds.producer import TickProducer
from feeds.replay import Replay
from feeds.run import feed
from feeds.simulator.day import DayParameters
from feeds.simulator.faults import Faults
from feeds.simulator.orders import TYPICAL_TRADES
from feeds.simulator.source import TYPICAL_DAY, TYPICAL_SYMBOLS, SimulatedDay
from feeds.simulator.universe import make_universe
from feeds.source import FeedError
from feeds.websocket import Patience, WebSocketFeed, feed_live
from jobs.settings import Settings
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feeds.run import FeedReport
    from feeds.source import BadRow, TickSource

INTERRUPTED_EXIT_CODE = 130
_SHOWN_BAD_ROWS = 10

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Send ticks to Kafka: simulate, replay, websocket.",
)

_Speed = Annotated[str, typer.Option(help="'max', or seconds of the market in one second; 1 keeps the real gaps.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Stop after so many ticks.")]
_Json = Annotated[bool, typer.Option("--json", help="End with one JSON object on standard output.")]


@app.command()
def simulate(
    *,
    day: Annotated[str, typer.Option("--date", help="The day to simulate, YYYY-MM-DD.")] = TYPICAL_DAY,
    trades: Annotated[int, typer.Option(min=1, help="Trades of the day.")] = TYPICAL_TRADES,
    symbols: Annotated[int, typer.Option(min=1, help="Listed securities.")] = TYPICAL_SYMBOLS,
    seed: Annotated[int, typer.Option(help="The same seed gives the same day.")] = 1,
    halt: Annotated[bool, typer.Option("--halt/--no-halt", help="Halt the market for 20 minutes.")] = True,
    duplicates: Annotated[int, typer.Option(min=0, help="Ticks that are sent twice.")] = 0,
    late: Annotated[int, typer.Option(min=0, help="Ticks that arrive half a minute late.")] = 0,
    malformed: Annotated[int, typer.Option(min=0, help="Messages that are no ticks, besides the trades.")] = 0,
    speed: _Speed = "max",
    limit: _Limit = None,
    as_json: _Json = False,
) -> None:
    """Send a simulated day that behaves like one of NEPSE's."""
    parameters = DayParameters(day=_day(day, "--date"), trades=trades, seed=seed, halt=halt)
    faults = Faults(duplicates=duplicates, late=late, malformed=malformed)
    with _sentences(ValueError):
        source = SimulatedDay(make_universe(symbols, seed), parameters, faults)
    _feed(source, speed, limit, as_json=as_json)


@app.command()
def replay(
    files: Annotated[
        list[Path], typer.Argument(help="NEPSE floorsheet CSV, plain CSV (either may be gzipped) or Parquet.")
    ],
    *,
    first: Annotated[str | None, typer.Option("--from", help="Leave out trades before this day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Leave out trades after this day, YYYY-MM-DD.")] = None,
    speed: _Speed = "max",
    limit: _Limit = None,
    as_json: _Json = False,
) -> None:
    """Send recorded trades again, in the order in which they once arrived."""
    with _sentences(FeedError):
        source = Replay(files, _day(first, "--from") if first else None, _day(last, "--to") if last else None)
    _feed(source, speed, limit, as_json=as_json)


@app.command()
def websocket(
    url: Annotated[str, typer.Argument(help="ws:// or wss:// address of the feed.")],
    *,
    preset: Annotated[str, typer.Option(help="Format of the feed: own, binance.")] = "own",
    silence: Annotated[float, typer.Option(min=1, help="Connect again after so many seconds without a message.")] = 60,
    give_up: Annotated[float, typer.Option(min=1, help="Fail after so many seconds out of reach.")] = 600,
    limit: _Limit = None,
    as_json: _Json = False,
) -> None:
    """Send what a WebSocket feed gives, until interrupted; it is connected to again whenever it is lost."""
    if preset not in PRESETS:
        raise CommandError(f"there is no preset '{preset}'; take one of {', '.join(PRESETS)}")
    configure_logging()
    with _sentences(FeedError):
        source = WebSocketFeed(url, PRESETS[preset], Patience(silence=silence, give_up=give_up))
        with _producer() as producer, _progress(None) as on_progress:
            report = asyncio.run(_live(source, producer, on_progress, limit))
    counts = {name: getattr(source, name) for name in ("received", "repeated", "connections")}
    _finish(report, report.as_json() | counts, [], as_json=as_json)


async def _live(
    source: WebSocketFeed,
    producer: TickProducer,
    on_progress: Callable[[FeedReport], None] | None,
    limit: int | None,
) -> FeedReport:

    task = asyncio.ensure_future(feed_live(source, producer, on_progress, limit))
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    return await task


def _feed(source: TickSource, speed: str, limit: int | None, *, as_json: bool) -> None:

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _sentences(ValueError):
        factor = parse_speed(speed)
    with _sentences(FeedError), _producer() as producer, _progress(limit or source.total) as on_progress:
        report = feed(source, producer, speed=factor, on_progress=on_progress, limit=limit)
    _finish(report, report.as_json(), source.bad_rows, as_json=as_json)


def _producer() -> TickProducer:

    settings = Settings()
    return TickProducer(
        connection_config(settings.kafka),
        topic_name(Topic.TICKS, settings.kafka),
        max_ahead_ms=int(settings.event_time.max_ahead_s * 1000),
    )


@contextmanager
def _sentences(*kinds: type[Exception]) -> Iterator[None]:
    """Turns what a user can mend into a command's error."""
    try:
        yield
    except kinds as error:
        raise CommandError(str(error)) from error


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} is '{text}'; give a day as YYYY-MM-DD") from None


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[FeedReport], None] | None]:
    """A live line on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} ticks/s"),
        TextColumn("{task.fields[at]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("feeding", total=total, rate=0.0, at="")

        def show(report: FeedReport) -> None:
            progress.update(task, completed=report.sent, rate=report.ticks_per_s, at=_time(report.last_event_time))

        yield show


def _finish(report: FeedReport, result: dict[str, Any], bad_rows: list[BadRow], *, as_json: bool) -> None:
    for row in sorted(bad_rows)[:_SHOWN_BAD_ROWS]:
        typer.echo(f"not sent: {row}", err=True)
    if len(bad_rows) > _SHOWN_BAD_ROWS:
        typer.echo(f"not sent: {len(bad_rows) - _SHOWN_BAD_ROWS} rows more", err=True)
    if as_json:
        typer.echo(orjson.dumps(result).decode())
    else:
        _print_table(result)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED_EXIT_CODE)


def _print_table(result: dict[str, Any]) -> None:

    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in result.items():
        if name.endswith("_event_time"):
            shown = _time(value)
        elif isinstance(value, float):
            shown = f"{value:,.1f}"
        else:
            shown = f"{value:,}" if type(value) is int else str(value)
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)


def _time(event_time: int | None) -> str:
    if event_time is None:
        return ""
    return datetime.fromtimestamp(event_time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
