"""What became of each prediction: where the price stood a minute later."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import NamedTuple

from state.window import PRICE_UNITS

HORIZON_MS = 60_000
"""A prediction speaks of the last price within this long after its trade."""


class Realised(NamedTuple):
    """The realised side of one prediction.

    Attributes:
        event_time, due_time: Of the predicted trade, and one minute later; ms.
        partition, offset: Kafka position of the predicted trade.
        price: Its price, rupees.
        realised_price: The last price in (event time, due time], rupees; the trade's own where there is none.
        direction: "up", "flat" or "down"; flat where the price is equal or no trade followed.
    """

    event_time: int
    due_time: int
    partition: int
    offset: int
    price: float
    realised_price: float
    direction: str


class OutcomeBook:
    """Predictions that wait for their minute to pass, and the price path they wait on."""

    __slots__ = ("_path", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, int, int]] = []  # event time, partition, offset, price; by time
        self._path: list[tuple[int, int]] = []  # event time, price; by time, then arrival

    def add(self, time: int, price: int, partition: int, offset: int) -> None:
        """Takes in a trade, both as a prediction to be judged and as a step of the path.

        Args:
            time: Event time, ms.
            price: In units of 1/10,000 rupee.
            partition: Kafka partition of the tick.
            offset: Its offset.
        """
        waiting = (time, partition, offset, price)
        path = self._path
        if path and time < path[-1][0]:
            insort(self._waiting, waiting)
            path.insert(bisect_right(path, time, key=_time_of), (time, price))
        else:
            self._waiting.append(waiting)
            path.append((time, price))

    @property
    def next_due(self) -> int | None:
        """The watermark (ms) at which the next prediction can be judged; None while none waits."""
        return self._waiting[0][0] + HORIZON_MS if self._waiting else None

    @property
    def last_due(self) -> int | None:
        """The watermark (ms) at which all that wait can be judged; None while none waits."""
        return self._waiting[-1][0] + HORIZON_MS if self._waiting else None

    @property
    def positions(self) -> set[tuple[int, int]]:
        """Partition and offset of each prediction that waits."""
        return {(partition, offset) for _, partition, offset, _ in self._waiting}

    def settle(self, watermark: int) -> list[Realised]:
        """Judges every prediction whose minute has passed at this watermark, oldest first."""
        waiting, path = self._waiting, self._path
        settled = 0
        outcomes = []
        for time, partition, offset, price in waiting:
            due = time + HORIZON_MS
            if due > watermark:
                break
            settled += 1
            last_time, last_price = path[bisect_right(path, due, key=_time_of) - 1]
            if last_time == time:
                last_price = price
            move = last_price - price
            outcomes.append(
                Realised(
                    event_time=time,
                    due_time=due,
                    partition=partition,
                    offset=offset,
                    price=price / PRICE_UNITS,
                    realised_price=last_price / PRICE_UNITS,
                    direction="up" if move > 0 else "down" if move < 0 else "flat",
                )
            )
        if settled:
            del waiting[:settled]
            del path[: bisect_right(path, waiting[0][0] - 1, key=_time_of) if waiting else len(path)]
        return outcomes

    def dump(self) -> list[list[tuple[int, ...]]]:
        """All it remembers, for the state codec."""
        return [list(self._waiting), list(self._path)]

    def load(self, rows: list[list[tuple[int, int, int, int]]]) -> None:
        """Takes up the rows of :meth:`dump`."""
        waiting, path = rows
        self._waiting = [(row[0], row[1], row[2], row[3]) for row in waiting]
        self._path = [(row[0], row[1]) for row in path]


def _time_of(step: tuple[int, int]) -> int:
    return step[0]
