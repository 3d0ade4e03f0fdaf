"""What the demo sees of the results while they come: counts, and how long each tick was on its way."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Self

import orjson

from console.kafka_io import open_consumer, poll
from console.redis_io import open_redis
from console.view import STREAM_KEY
from feeds.source import RawMessage
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from feeds.source import BadRow
    from jobs.settings import Settings
    from state.rules import TradingCalendar
    from state.tick import Tick

COUNTED = (Topic.PREDICTIONS, Topic.BARS, Topic.ALERTS, Topic.OUTCOMES, Topic.LATE, Topic.DEAD_LETTERS)
_READ = (*COUNTED, Topic.SCORES)


class TickName(NamedTuple):
    """What a tick and its prediction have in common."""

    symbol: str
    trade_id: str | None
    event_time: int


class Portion:
    """A part of a day as a source of its own, at a fixed rate if wanted.

    Args:
        messages: The part's messages.
        per_second: Messages a second; None: as fast as they are taken.
        clock: Says what time it is, s since the epoch.
        sleep: Waits for so many seconds.

    Attributes:
        sent_at: When each tick was due to be sent, s since the epoch. Due, not sent: a sender that stalls must not
            make the way look shorter (coordinated omission).
        bad_rows: None; bad rows are the whole day's matter.
    """

    def __init__(
        self,
        messages: Sequence[Tick | RawMessage],
        per_second: float | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._messages = messages
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self.sent_at: dict[TickName, float] = {}
        self.bad_rows: list[BadRow] = []

    @property
    def total(self) -> int | None:
        """Messages of the part."""
        return len(self._messages)

    def __iter__(self) -> Iterator[Tick | RawMessage]:
        if self._per_second is None:
            yield from self._messages
            return
        start = self._clock()
        for number, message in enumerate(self._messages):
            due = start + number / self._per_second
            if (wait := due - self._clock()) > 0:
                self._sleep(wait)
            if not isinstance(message, RawMessage):
                self.sent_at.setdefault(TickName(message.symbol, message.trade_id, message.event_time), due)
            yield message


class Watch:
    """Reads the result topics, committed records only, in a thread of its own.

    Attributes:
        counts: Committed messages of each topic.
        last_prediction_at: When the newest prediction was read, `time.monotonic`.
        seen_at: When a committed reader first saw each tick's prediction, s since the epoch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = {topic_name(topic, settings.kafka): topic for topic in _READ}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.error: Exception | None = None
        self.counts: Counter[Topic] = Counter()
        self._predicted_to = self._scored_to = 0
        self.last_prediction_at = 0.0
        self.seen_at: dict[TickName, float] = {}

    def __enter__(self) -> Self:
        self._consumer = open_consumer(self._settings.kafka, _READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self._consumer.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for record in poll(self._consumer, timeout_ms=20):
                    topic = self._topics[record.topic]
                    if topic is Topic.SCORES:
                        self._scored_to = max(self._scored_to, orjson.loads(record.value)["window_end"])
                        continue
                    self.counts[topic] += 1
                    if topic is Topic.PREDICTIONS:
                        self.last_prediction_at = time.monotonic()
                        one = orjson.loads(record.value)
                        name = TickName(one["symbol"], one["trade_id"], one["event_time"])
                        self.seen_at.setdefault(name, time.time())
                        self._predicted_to = max(self._predicted_to, name.event_time)
        except Exception as error:  # noqa: BLE001 - told by the thread that waits for the counts
            self.error = error

    @property
    def settled(self) -> bool:
        """Whether every prediction has its outcome, and the newest one's minute its live score."""
        judged = self.counts[Topic.OUTCOMES] >= self.counts[Topic.PREDICTIONS]
        return judged and self._scored_to > self._predicted_to

    @property
    def answered(self) -> int:
        """Ticks whose fate is known and committed, but for dropped duplicates."""
        return sum(self.counts[topic] for topic in (Topic.PREDICTIONS, Topic.LATE, Topic.DEAD_LETTERS))


def answers_to(messages: Sequence[Tick | RawMessage], calendar: TradingCalendar) -> int:
    """How many of these messages become a prediction, a late tick or a dead letter: all but repeated trades."""
    trades = [
        (message.symbol, message.trade_id, calendar.day_of(message.event_time).start)
        for message in messages
        if not isinstance(message, RawMessage) and message.trade_id is not None
    ]
    return len(messages) - len(trades) + len(set(trades))


def written_to_redis_at(settings: Settings) -> dict[TickName, float]:
    """When the view first wrote each tick's prediction, s since the epoch, as its stream tells."""
    client = open_redis(settings.redis)
    written: dict[TickName, float] = {}
    try:
        entries: list[tuple[str, dict[str, str]]] = client.xrange(STREAM_KEY)  # type: ignore[assignment]
        for entry, fields in entries:
            name = TickName(fields["symbol"], fields["trade_id"] or None, int(fields["event_time"]))
            written.setdefault(name, int(entry.split("-")[0]) / 1000)
    finally:
        client.close()
    return written
