"""What became of each prediction: where the price stood a minute later."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from state.window import PRICE_UNITS

HORIZON_MS = 60_000
"""A prediction speaks of the last price within this long after its trade."""

SETTLE_EVERY_MS = 10_000
"""So often a symbol's bars and outcomes are settled: one timer for all that it has due in between."""


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
    """Predictions that wait for their minute to pass; they are the price path that they wait on, too."""

    __slots__ = ("_last_time", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, int, int]] = []  # event time, price, partition, offset; by time, arrival
        self._last_time = 0

    def add(self, time: int, price: int, partition: int, offset: int) -> None:
        """Takes in a trade, both as a prediction to be judged and as a step of the path.

        Args:
            time: Event time, ms.
            price: In units of 1/10,000 rupee.
            partition: Kafka partition of the tick.
            offset: Its offset.
        """
        if time >= self._last_time:
            self._waiting.append((time, price, partition, offset))
            self._last_time = time
        else:
            at = bisect_right(self._waiting, time, key=_time_of)
            self._waiting.insert(at, (time, price, partition, offset))

    @property
    def next_due(self) -> int | None:
        """The watermark (ms) at which the next prediction can be judged; None while none waits."""
        return self._waiting[0][0] + HORIZON_MS if self._waiting else None

    @property
    def last_due(self) -> int | None:
        """The watermark (ms) at which all that wait can be judged; None while none waits."""
        return self._waiting[-1][0] + HORIZON_MS if self._waiting else None

    def due_of(self, count: int) -> int | None:
        """The watermark (ms) at which so many predictions can be judged; None while fewer wait."""
        return self._waiting[count - 1][0] + HORIZON_MS if count <= len(self._waiting) else None

    @property
    def positions(self) -> set[tuple[int, int]]:
        """Partition and offset of each prediction that waits."""
        return {(partition, offset) for _, _, partition, offset in self._waiting}

    def settle(self, watermark: int) -> list[Realised]:
        """Judges every prediction whose minute has passed at this watermark, oldest first."""
        waiting = self._waiting
        outcomes: list[Realised] = []
        # The trades of a minute lie between the first one that is due and the end of its path.
        last = bisect_right(waiting, waiting[0][0] + HORIZON_MS, key=_time_of) - 1 if waiting else 0
        for time, price, partition, offset in waiting:
            due = time + HORIZON_MS
            if due > watermark:
                break
            while last + 1 < len(waiting) and waiting[last + 1][0] <= due:
                last += 1
            last_time, last_price, _, _ = waiting[last]
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
        if outcomes:
            del waiting[: len(outcomes)]
        return outcomes

    def dump(self) -> list[tuple[int, int, int, int]]:
        """All it remembers, for the state codec."""
        return self._waiting

    def load(self, rows: list[tuple[int, int, int, int]]) -> None:
        """Takes up the rows of :meth:`dump`."""
        self._waiting = [(row[0], row[1], row[2], row[3]) for row in rows]
        self._last_time = self._waiting[-1][0] if rows else 0


def _time_of(step: tuple[int, int, int, int]) -> int:
    return step[0]
