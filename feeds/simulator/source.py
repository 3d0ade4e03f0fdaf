"""A simulated day as a source of ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from feeds.simulator.day import DayParameters, simulate_day
from feeds.simulator.faults import Faults, held_back, malformed_at, repeated_at
from feeds.source import RawMessage
from feeds.trades import ticks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feeds.simulator.universe import Universe
    from feeds.source import BadRow
    from state.tick import Tick

TYPICAL_SYMBOLS = 340
TYPICAL_DAY = "2024-07-21"


class SimulatedDay:
    """The messages of one simulated day, in order of arrival.

    Args:
        universe: What is listed.
        parameters: What the day looks like.
        faults: What goes wrong; by default nothing.

    Attributes:
        total: Number of messages, repeated and malformed ones included.
        bad_rows: None; what is malformed here is sent.

    Raises:
        ValueError: If the parameters make no day, or the day is too short for the faults.
    """

    def __init__(self, universe: Universe, parameters: DayParameters, faults: Faults | None = None) -> None:
        faults = faults or Faults()
        random = np.random.default_rng([parameters.seed, parameters.day.toordinal(), 1])
        self._trades = held_back(simulate_day(universe, parameters), faults.late, random)
        self._repeated = repeated_at(parameters.trades, faults.duplicates, random)
        self._malformed = malformed_at(parameters.trades, faults.malformed, random)
        self.total = parameters.trades + faults.duplicates + faults.malformed
        self.bad_rows: list[BadRow] = []

    def __iter__(self) -> Iterator[Tick | RawMessage]:
        ticks = list(ticks_of(self._trades))
        for place, tick in enumerate(ticks):
            yield tick
            for original in self._repeated.get(place, ()):
                yield ticks[original]
            for damage in self._malformed.get(place, ()):
                yield RawMessage(tick.symbol.encode(), damage(tick), tick.event_time)
