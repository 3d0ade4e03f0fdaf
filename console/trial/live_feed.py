"""Simulated trades of this very moment, at a steady rate, whatever happens to the broker."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import date
from typing import TYPE_CHECKING, Self

from console.kafka_io import connection_config
from feeds.producer import TickProducer
from feeds.simulator.day import DayParameters
from feeds.simulator.source import TYPICAL_DAY, TYPICAL_SYMBOLS, SimulatedDay
from feeds.simulator.universe import make_universe
from feeds.source import FeedError
from jobs.topics import Topic, topic_name
from state.tick import Tick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from console.verdict import Verdict
    from jobs.settings import Settings

SETTINGS = {"TICKCAST_EVENT_TIME__MAX_AHEAD_S": "600"}
"""What the last trades need."""
_TRADES = 20_000
"""Trades of the simulated day, which begins anew after its last one."""
_AGAIN_S = 0.5
_BEHIND_S = 1.0
"""A feed that was held up for longer goes on from now and does not catch up."""
_JOIN_S = 30.0
_CLOSING_S = 360
"""So far ahead of the others are the last trades, one of each symbol: every bar and outcome before them is settled."""
_CLOSING_PRICE = 100.0
_ID_HEAD, _ID_DIGITS = 10, 8
"""Day and group of an id stay as they are; with the number behind it still is a number of 18 digits."""


def unsettled(verdict: Verdict) -> int:
    """By how many results more than those of the last trades are pending; 0 when everything before them is settled.

    The last trades' own are their outcomes, two bars each, the score of their minute and, while the exchange is open,
    the end of the silence before them.
    """
    silences = min(1, verdict.topics[Topic.ALERTS.value].pending)
    return verdict.pending - (3 * TYPICAL_SYMBOLS + 1) - silences


class LiveFeed:
    """Sends trades in a thread of its own, each with the time of its sending, until closed.

    Args:
        settings: Where to.
        per_second: Trades a second.
        seed: Of the simulated day.
        first: Number of its first trade: that of another feed's last, if their trades are not to be the same.

    Attributes:
        sent: Trades handed to the producer.
        interruptions: How often the producer gave up and was opened again.
    """

    def __init__(self, settings: Settings, per_second: float, seed: int, first: int = 0) -> None:
        self._settings = settings
        self.per_second = per_second
        self._seed = seed
        self._first = first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self.sent = 0
        self.interruptions = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(_JOIN_S)

    def finish(self) -> None:
        """Stops, with a trade of each symbol that moves event time past all that is open; all is confirmed then.

        Raises:
            FeedError: It is not, in time.
        """
        self._stop.set()
        self._thread.join(_JOIN_S)
        moment = time.time_ns() // 1_000_000 + _CLOSING_S * 1000
        with self._producer() as producer:
            for symbol in make_universe(TYPICAL_SYMBOLS, self._seed).symbols:
                producer.send(Tick(str(symbol), _CLOSING_PRICE, 10, moment))
                self.sent += 1

    def _run(self) -> None:
        trades = self._trades()
        while not self._stop.is_set():
            try:
                with self._producer() as producer:
                    self._send(trades, producer)
            except FeedError:
                self.interruptions += 1
                self._stop.wait(_AGAIN_S)

    def _producer(self) -> TickProducer:
        return TickProducer(connection_config(self._settings.kafka), topic_name(Topic.TICKS, self._settings.kafka))

    def _send(self, trades: Iterator[Tick], producer: TickProducer) -> None:
        due = time.monotonic()
        for trade in trades:
            due += 1 / self.per_second
            ahead = due - time.monotonic()
            if ahead > 0 and self._stop.wait(ahead):
                return
            if ahead < -_BEHIND_S:
                due = time.monotonic()
            producer.send(trade._replace(event_time=time.time_ns() // 1_000_000))
            self.sent += 1
            if self._stop.is_set():
                return

    def _trades(self) -> Iterator[Tick]:
        """The day over and over; a number in front of each trade's id makes it one that has not been."""
        parameters = DayParameters(day=date.fromisoformat(TYPICAL_DAY), trades=_TRADES, seed=self._seed, halt=False)
        day = [
            message
            for message in SimulatedDay(make_universe(TYPICAL_SYMBOLS, self._seed), parameters)
            if isinstance(message, Tick)
        ]
        for number in itertools.count(self._first):
            trade = day[number % len(day)]
            yield trade._replace(trade_id=f"{str(trade.trade_id)[:_ID_HEAD]}{number:0{_ID_DIGITS}}")
