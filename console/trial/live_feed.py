"""Simulated trades at a steady rate, whatever happens to the broker: of this very moment, or whole days of the past."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Self

from console.kafka_io import connection_config
from feeds.producer import TickProducer
from feeds.simulator.day import DayParameters
from feeds.simulator.days import trading_days
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
    the end of the silence before them; they too are settled when the clock has passed them.
    """
    silences = min(1, verdict.topics[Topic.ALERTS.value].pending)
    return max(0, verdict.pending - (3 * TYPICAL_SYMBOLS + 1) - silences)


def unsettled_days(verdict: Verdict) -> int:
    """How many results are pending after whole days; 0 when everything is settled.

    A day's last trade may end a silence. No trade after it closes its second, so the end is told on the next day.
    """
    return verdict.pending - min(1, verdict.topics[Topic.ALERTS.value].pending)


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
            else:
                return

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
            producer.send(self._stamped(trade))
            self.sent += 1
            if self._stop.is_set():
                return

    def _stamped(self, trade: Tick) -> Tick:
        """The trade with the time that it has in the market."""
        return trade._replace(event_time=time.time_ns() // 1_000_000)

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


class DaysFeed(LiveFeed):
    """Sends whole trading days of the past, one after the other, each trade with the time of its day.

    Event time goes on much faster than the clock, as it does in a replay: sessions open and end.

    Args:
        settings: Where to.
        per_second: Trades a second.
        seed: Of the simulated days.
        days: How many; the last one is over before today.
        trades: Trades of each day.
    """

    def __init__(self, settings: Settings, per_second: float, seed: int, days: int, trades: int) -> None:
        super().__init__(settings, per_second, seed)
        self._days = days
        self._trades_a_day = trades

    def finish(self) -> None:
        """Waits until the last day is over.

        Raises:
            FeedError: It is not, in twice the time that is left.
        """
        left = self._days * self._trades_a_day - self.sent
        self._thread.join(_JOIN_S + 2 * left / self.per_second)
        if self._thread.is_alive():
            raise FeedError("the trades could not be sent in time: the broker or this machine is too slow for the rate")

    def _stamped(self, trade: Tick) -> Tick:
        return trade

    def _trades(self) -> Iterator[Tick]:
        first = datetime.now(tz=UTC).date() - timedelta(days=self._days * 7 // 5 + 7)
        days = trading_days(make_universe(TYPICAL_SYMBOLS, self._seed), first, self._trades_a_day, self._seed)
        for _, ticks in itertools.islice(days, self._days):
            yield from ticks
