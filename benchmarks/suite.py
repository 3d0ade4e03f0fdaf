"""The runs: the field side by side, and tickcast by itself on other shapes of data."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.check import Reference
from benchmarks.data import Shape
from benchmarks.field import FIELD
from benchmarks.results import OURS, Rounds, cost, turns
from benchmarks.runs import Started
from benchmarks.throughput import read_output, throughput, watch
from console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.bench_stack import BenchStack
    from benchmarks.throughput import Throughput

_FEW, _USUAL, _MANY = 3, 300, 3_000


class Plan(NamedTuple):
    """How the runs are to be.

    Attributes:
        contestants: Their names.
        rounds: How many rounds.
        ticks: Ticks of each run.
        symbols: Symbols of each run.
        workers: Slots or processes of each contestant.
        limit_s: Longest time from a contestant's first answer on; slow ones answer only a part of the ticks.
    """

    contestants: Sequence[str]
    rounds: int
    ticks: int
    symbols: int
    workers: int
    limit_s: float


class Suite:
    """Runs what is asked for.

    Args:
        stack: Where.
        plan: How.
        say: Told, line by line, what is being done.
    """

    def __init__(self, stack: BenchStack, plan: Plan, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._plan = plan
        self._say = say
        self._number = 0

    def field(self) -> Rounds:
        """All contestants, several rounds of each, in turn."""
        plan, rounds = self._plan, Rounds()
        prefix = self._stack.fill(Shape(plan.symbols, plan.ticks))
        reference = Reference(self._stack.settings(prefix, plan.workers))
        for number in range(plan.rounds):
            for name in turns(plan.contestants, number):
                if name in rounds.errors:
                    continue
                check = reference if FIELD[name].scores and name not in rounds.checks else None
                try:
                    rounds.runs.setdefault(name, []).append(self._run(name, prefix, plan.workers, rounds, check))
                except CommandError as error:
                    rounds.errors[name] = str(error)
                    self._say(f"{name}: {error}")
        return rounds

    def scaling(self) -> dict[str, Any]:
        """The job with one slot and two; few symbols and many; one symbol with half of all ticks."""
        plan = self._plan
        usual = Shape(_USUAL, plan.ticks)
        wanted = {
            "one_slot": (usual, 1),
            "two_slots": (usual, 2),
            "symbols_3": (Shape(_FEW, plan.ticks), plan.workers),
            "symbols_300": (usual, plan.workers),
            "symbols_3000": (Shape(_MANY, plan.ticks), plan.workers),
            "hot_symbol": (Shape(_USUAL, plan.ticks, hot=True), plan.workers),
        }
        rates: dict[str, list[float]] = {}
        errors: dict[str, str] = {}
        for number in range(plan.rounds):
            for name in turns(list(wanted), number):
                shape, workers = wanted[name]
                try:
                    run = self._run(OURS, self._stack.fill(shape), workers)
                    rates.setdefault(name, []).append(run.ticks_per_s)
                except CommandError as error:
                    errors[name] = str(error)
                    self._say(f"{name}: {error}")
        return scaling_of(rates) | ({"errors": errors} if errors else {})

    def _run(
        self, name: str, prefix: str, workers: int, rounds: Rounds | None = None, check: Reference | None = None
    ) -> Throughput:
        contestant, plan = FIELD[name], self._plan
        settings = self._stack.settings(prefix, workers)
        self._number += 1
        self._say(f"{name}, {workers} {'slot' if workers == 1 else 'slots'}, {prefix} …")
        with Started(contestant, self._stack, settings, workers, f"{name}-{self._number}") as run:
            started = time.monotonic()
            run.start()
            samples, usages = watch(run, settings.kafka, run.predictions, plan.ticks, plan.limit_s)
        output = read_output(settings.kafka, run.predictions)
        result = throughput(samples, usages, output.offsets, plan.ticks, started)
        if check is not None and rounds is not None:
            compare = check.compare_with_market if name == OURS else check.compare
            comparison = compare(output.values, complete=result.answered >= plan.ticks)
            rounds.checks[name] = comparison._replace(may_double=contestant.may_double)
        run.remove_results()
        self._say(
            f"{name}: {result.ticks_per_s:,.0f} ticks/s over {result.measured:,} ticks,"
            f" {result.cpu_us_per_tick:,.0f} µs of CPU a tick"
        )
        return result


def scaling_of(rates: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and what they say of each other.

    Args:
        rates: Ticks a second of each kind of run, round by round.
    """
    middle = {name: round(median(values), 1) for name, values in rates.items() if values}
    scaling: dict[str, Any] = {"ticks_per_s": middle}
    if {"one_slot", "two_slots"} <= middle.keys():
        scaling["two_slots_by_one"] = round(middle["two_slots"] / middle["one_slot"], 3)
    for name in ("symbols_3", "symbols_3000", "hot_symbol"):
        if {name, "symbols_300"} <= middle.keys():
            scaling[f"{name}_cost"] = cost(middle["symbols_300"], middle[name])
    return scaling
