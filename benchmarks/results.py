"""Rounds to medians and ratios: the arithmetic of the results, without a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.check import Comparison
    from benchmarks.throughput import Throughput

OURS = "tickcast"
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass
class Rounds:
    """What all rounds of the field gave.

    Attributes:
        runs: Per contestant: one measurement a round.
        errors: Per contestant that could not run to the end: why.
        checks: Per contestant: its sample against the reference.
    """

    runs: dict[str, list[Throughput]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    checks: dict[str, Comparison] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Medians, ratios, and what they were made of."""
        medians = {name: round(median(run.ticks_per_s for run in runs), 1) for name, runs in self.runs.items() if runs}
        return {
            "ticks_per_s": medians,
            "ratios": ratios(medians),
            "rounds": {name: [_rounded(run) for run in runs] for name, runs in self.runs.items()},
            "checked": {name: one._asdict() | {"passed": one.passed} for name, one in self.checks.items()},
            "errors": self.errors,
        }


def ratios(medians: Mapping[str, float]) -> dict[str, float]:
    """How many times each contestant's rate tickcast's is.

    Args:
        medians: Ticks a second of each contestant.
    """
    ours = medians.get(OURS)
    return {name: round(ours / rate, 3) for name, rate in medians.items() if name != OURS and ours}


def turns(names: Sequence[str], number: int) -> list[str]:
    """The order of a round: each begins with another contestant, so that none always has the best place."""
    start = number % len(names)
    return [*names[start:], *names[:start]]


def percentiles(milliseconds: Sequence[float]) -> dict[str, float | int]:
    """Percentiles over every single sample, none put into classes: what an HDR histogram gives, without its rounding.

    Args:
        milliseconds: All latencies, each from when its tick was due.
    """
    if not milliseconds:
        return {"ticks": 0}
    values = np.sort(np.asarray(milliseconds, np.float64))
    # The nearest rank, as an HDR histogram has it: a value that did occur.
    ranks = {at: min(len(values) - 1, max(0, int(np.ceil(round(at * len(values) / 100, 6))) - 1)) for at in PERCENTILES}
    named = {f"p{at:g}".replace(".", "_"): round(float(values[rank]), 1) for at, rank in ranks.items()}
    return {"ticks": len(values), **named, "max": round(float(values[-1]), 1)}


def cost(before: float, after: float) -> float:
    """How much less the second rate is, as a fraction of the first."""
    return round(1 - after / before, 3)


def _rounded(run: Throughput) -> dict[str, float]:
    return {name: round(value, 3) for name, value in run._asdict().items()}
