"""Examples for training and evaluation, out of files, Kafka or the simulator, with progress on standard error."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from console.errors import CommandError
from console.ticks_topic import TopicTicks
from feeds.replay import Replay
from feeds.simulator.day import DayParameters, closing_prices, simulate_day
from feeds.simulator.orders import TYPICAL_TRADES
from feeds.simulator.source import TYPICAL_DAY, TYPICAL_SYMBOLS
from feeds.simulator.universe import make_universe
from feeds.source import FeedError
from feeds.trades import ticks_of
from state.features import FEATURE_NAMES, SCHEMA_HASH
from state.rules import load_rules
from training.dataset import build_examples
from training.days import DataError
from training.replay import Timing
from training.train import Features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from feeds.source import BadRow
    from jobs.settings import Settings
    from state.rules import MarketRules
    from state.tick import Tick
    from training.examples import DayExamples

FEATURES = Features(FEATURE_NAMES, SCHEMA_HASH)


@dataclass(frozen=True)
class Selection:
    """Which days are wanted, and where their trades come from.

    Attributes:
        ticks: The trades in order of arrival, at least up to the last day wanted.
        bad_rows: Rows met so far that are no trades.
        first: First day wanted; None: no bound.
        last: Last day wanted; None: no bound.
        excluded: Days in between that are not wanted.
        rules: The market's rules.
    """

    ticks: Iterable[Tick]
    bad_rows: Sequence[BadRow]
    first: date | None
    last: date | None
    excluded: frozenset[date]
    rules: MarketRules

    def wants(self, day: date) -> bool:
        """Whether a day is wanted."""
        after_first = self.first is None or self.first <= day
        return after_first and (self.last is None or day <= self.last) and day not in self.excluded


def select(
    files: Sequence[Path],
    bounds: tuple[datetime | None, datetime | None],
    excluded: Sequence[datetime],
    *,
    from_kafka: bool = False,
    simulated_days: int = 0,
    seed: int = 0,
    settings: Settings,
) -> Selection:
    """What the options of a command ask for.

    Args:
        files: Recorded trades.
        bounds: First and last day.
        excluded: Days to leave out.
        from_kafka: Take the ticks of the topic, up to the last day whose session is over.
        simulated_days: Number of days of the simulator.
        seed: The simulator's seed.
        settings: The settings.

    Raises:
        CommandError: If there is no source of trades or more than one, or a file can't be read.
    """
    if sum(map(bool, (files, from_kafka, simulated_days))) != 1:
        raise CommandError("say where the trades come from: either --data FILE, --from-kafka or --simulate-days N")
    rules = load_rules(settings.market.rules_file)
    first, last = (bound.date() if bound else None for bound in bounds)
    left_out = frozenset(day.date() for day in excluded)
    if simulated_days:
        return Selection(_simulated(simulated_days, seed, rules), (), first, last, left_out, rules)
    if from_kafka:
        ticks = TopicTicks(settings.kafka, rules, round(settings.event_time.out_of_orderness_s * 1000))
        over = last_day_over(rules, datetime.now(UTC))
        return Selection(ticks, ticks.bad_rows, first, min(last or over, over), left_out, rules)
    try:
        replay = Replay(files, last_day=last)
    except FeedError as error:
        raise CommandError(str(error)) from None
    return Selection(replay, replay.bad_rows, first, last, left_out, rules)


def last_day_over(rules: MarketRules, now: datetime) -> date:
    """The latest day of the exchange's calendar whose session is over."""
    today = now.astimezone(ZoneInfo(rules.timezone)).date()
    is_over = now.timestamp() * 1000 >= rules.on(today).close
    return today if is_over else today - timedelta(days=1)


def _simulated(days: int, seed: int, rules: MarketRules) -> Iterator[Tick]:
    """Consecutive trading days of the simulator, each going on from the prices of the one before."""
    universe = make_universe(TYPICAL_SYMBOLS, seed)
    day = date.fromisoformat(TYPICAL_DAY)
    for _ in range(days):
        while not rules.on(day).is_trading_day:
            day += timedelta(days=1)
        trades = simulate_day(universe, DayParameters(day=day, trades=TYPICAL_TRADES, seed=seed, halt=False))
        yield from ticks_of(trades)
        universe = universe.after(closing_prices(universe, trades))
        day += timedelta(days=1)


@contextmanager
def selected(
    selection: Selection, settings: Settings, check: Callable[[date], None] = lambda _: None
) -> Iterator[list[DayExamples]]:
    """The examples of the days wanted, in order of time; they are gone when the context ends.

    Args:
        selection: Which days, from where.
        settings: The settings.
        check: Called with each day wanted before it is replayed; may raise.

    Raises:
        CommandError: If there is no such day or the trades can't be read.
    """

    def wanted(day: date) -> bool:
        if not selection.wants(day):
            return False
        check(day)
        return True

    timing = Timing(
        out_of_orderness_ms=round(settings.event_time.out_of_orderness_s * 1000),
        market_out_of_orderness_ms=round(settings.market.out_of_orderness_s * 1000),
        market_lag_s=settings.market.lag_s,
    )
    settings.home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="examples-", dir=settings.home) as directory:
        try:
            with _progress(TextColumn("{task.fields[trades]:,} trades")) as bars:
                task = bars.add_task("replaying days", total=None, trades=0)

                def on_day(_: date, trades: int) -> None:
                    bars.update(task, advance=1, trades=bars.tasks[task].fields["trades"] + trades)

                days = build_examples(
                    selection.ticks, selection.rules, timing, Path(directory), wanted=wanted, on_day=on_day
                )
        except (FeedError, DataError) as error:
            raise CommandError(str(error)) from None
        if bad := selection.bad_rows:
            typer.echo(f"left out {len(bad)} rows that are no trades, the first: {bad[0]}", err=True)
        if not days:
            raise CommandError("the data holds no trade of the days asked for; check --from, --to and --exclude-day")
        yield days


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar; the function given advances it by one."""
    with _progress(BarColumn()) as bars:
        task = bars.add_task(title, total=total)
        yield lambda: bars.advance(task)


def _progress(detail: ProgressColumn) -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), detail, TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True)
