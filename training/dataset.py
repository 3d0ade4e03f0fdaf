"""Examples out of recorded trades: every day replayed through the state that the job keeps."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import TYPE_CHECKING

from training.days import trading_days
from training.examples import DayExamples
from training.replay import RecordedDay, closing_prices, replay_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date
    from pathlib import Path

    from state.rules import MarketRules
    from state.tick import Tick
    from training.replay import Timing

_PROCESSES = 2


def build_examples(
    ticks: Iterable[Tick],
    rules: MarketRules,
    timing: Timing,
    directory: Path,
    *,
    wanted: Callable[[date], bool],
    on_day: Callable[[date, int], None],
) -> list[DayExamples]:
    """Replays recorded days, several at a time: a day needs nothing of those before but their closing prices.

    Args:
        ticks: Ticks of whole days, in order of arrival.
        rules: The market's rules.
        timing: What the job takes for late.
        directory: Empty folder for the examples, which stay on disk.
        wanted: Whether a day's examples are asked for; of other days only the closing prices count.
        on_day: Called with each day that is done and its number of trades.

    Returns:
        The wanted days in order of time.

    Raises:
        DataError: If the days are not in order.
    """
    folders: list[Path] = []
    running: set[Future[Path]] = set()

    def collect(most_running: int) -> None:
        while len(running) > most_running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            running.difference_update(done)
            for future in done:
                folders.append(future.result())
                examples = DayExamples.load(folders[-1])
                on_day(examples.day, len(examples))

    closes: dict[str, float] = {}
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        for day, ticks_of_day in trading_days(ticks, rules):
            if wanted(day):
                collect(most_running=_PROCESSES)  # one day waits ready, no more lie in memory
                recorded = RecordedDay(day, ticks_of_day, dict(closes))
                running.add(pool.submit(_replay_and_save, recorded, rules, timing, directory))
            closes |= closing_prices(ticks_of_day)
        collect(most_running=0)
    return [DayExamples.load(folder) for folder in sorted(folders)]


def _replay_and_save(recorded: RecordedDay, rules: MarketRules, timing: Timing, directory: Path) -> Path:
    return replay_day(recorded, rules, timing).save(directory)
