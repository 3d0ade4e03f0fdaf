"""``tickcast view``: the latest result of every symbol in Redis, milliseconds after the job made it.

It reads before the commit. The job is deterministic, so a record that is rolled back comes again
with the same value: the view is early, never wrong.

Keys in Redis:

``tickcast:latest:{symbol}`` (hash)
    The active model's prediction for the symbol's newest trade, field by field as in the message
    (:data:`PREDICTION_FIELDS`; ``source`` as ``source_partition`` and ``source_offset``), and the
    newest bar of each interval as ``bar_1m_open`` … ``bar_5m_mean_price`` (:data:`BAR_FIELDS`).
    Times are ms since the epoch; what a message leaves open is an empty string. The hash is made
    by whatever comes first, so for a moment a symbol may have a bar and no prediction.
``tickcast:predictions`` (stream)
    The active model's predictions with the same fields, as they come; about the newest
    ``TICKCAST_REDIS__STREAM_LENGTH`` of them. An entry's id begins with the ms at which it was
    written. After a restart entries may repeat; partition and offset of the source tell.
``tickcast:view`` (hash)
    ``predictions`` and ``bars`` written so far, ``written_at`` (ms), and ``latency_ms`` from the
    job's ``produced_at`` of the last prediction to its write.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import orjson
import structlog
import typer
from redis import exceptions

from console.errors import CommandError
from console.logs import configure_logging
from console.redis_io import lasting_refusal, open_redis
from console.topic_writer import StoreUnavailableError, follow_topics, stop_on_signals
from jobs.settings import Settings
from jobs.topics import Topic, topic_name
from state.bars import Bar

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from kafka.consumer.fetcher import ConsumerRecord
    from redis.client import Pipeline

    from jobs.settings import RedisSettings

TOPICS = (Topic.PREDICTIONS, Topic.BARS)
LATEST_KEY = "tickcast:latest:{symbol}"
STREAM_KEY = "tickcast:predictions"
VIEW_KEY = "tickcast:view"

PREDICTION_FIELDS = (
    "symbol",
    "event_time",
    "trade_id",
    "price",
    "p_up",
    "p_flat",
    "p_down",
    "direction",
    "model_version",
    "feature_schema",
    "market_time",
    "produced_at",
)
BAR_FIELDS = tuple(name for name in Bar._fields if name not in {"interval", "partition", "offset"})

_TRANSIENT = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.NoScriptError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
)

_KEEP_NEWEST = """\
-- KEYS[1]: hash. ARGV: names of the two fields that hold the position, the position, then fields and values.
-- An equal position overwrites: a record that was rolled back and made again replaces its first form.
local held = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[2])
local time, offset = tonumber(held[1]), tonumber(held[2])
local new_time, new_offset = tonumber(ARGV[3]), tonumber(ARGV[4])
if time and offset and (time > new_time or (time == new_time and offset > new_offset)) then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3], ARGV[2], ARGV[4], unpack(ARGV, 5))
return 1
"""


class _Update(NamedTuple):
    """What one record sets in a symbol's hash, if the hash holds nothing newer."""

    key: str
    order_fields: tuple[str, str]
    position: tuple[int, int]
    values: dict[str, str | int | float]


class RedisView:
    """The Redis side of the view; a :class:`console.topic_writer.Store`.

    Args:
        settings: Where Redis is, and about how many predictions the stream keeps.
        predictions_topic: Full name of the topic that carries predictions; the other one carries bars.
    """

    name = "view"

    def __init__(self, settings: RedisSettings, predictions_topic: str) -> None:
        self._client = open_redis(settings)
        self._stream_length = settings.stream_length
        self._predictions_topic = predictions_topic
        self._script = ""
        self._log = structlog.get_logger(self.name)

    def open(self) -> bool:
        """Connect; whether Redis still holds the view."""
        try:
            self._script = str(self._client.script_load(_KEEP_NEWEST))
            return bool(self._client.exists(VIEW_KEY))
        except (exceptions.RedisError, OSError) as error:
            raise _explained(error) from error

    def write(self, records: Sequence[ConsumerRecord]) -> None:
        """Write a batch in one round trip; of several records of a symbol only the newest goes to its hash."""
        newest: dict[tuple[str, str], _Update] = {}
        predictions = bars = 0
        produced_at = None
        pipeline = self._client.pipeline(transaction=False)
        for is_prediction, update in self._updates(records):
            if is_prediction:
                predictions += 1
                produced_at = update.values["produced_at"]
                pipeline.xadd(
                    STREAM_KEY,
                    update.values,  # type: ignore[arg-type] # redis-py's dict is invariant
                    maxlen=self._stream_length,
                    approximate=True,
                )
            else:
                bars += 1
            slot = (update.key, update.order_fields[0])
            if slot not in newest or newest[slot].position <= update.position:
                newest[slot] = update
        for update in newest.values():
            self._keep_newest(pipeline, update)
        pipeline.hincrby(VIEW_KEY, "predictions", predictions)
        pipeline.hincrby(VIEW_KEY, "bars", bars)
        now = time.time_ns() // 1_000_000
        state: dict[str, str | int | float] = {"written_at": now}
        if isinstance(produced_at, int):
            state["latency_ms"] = now - produced_at
        pipeline.hset(VIEW_KEY, mapping=state)
        try:
            pipeline.execute()
        except (exceptions.RedisError, OSError) as error:
            raise _explained(error) from error

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _updates(self, records: Sequence[ConsumerRecord]) -> Iterator[tuple[bool, _Update]]:
        for record in records:
            is_prediction = record.topic == self._predictions_topic
            try:
                fields = orjson.loads(record.value)
                if is_prediction and fields["role"] != "active":
                    continue
                yield is_prediction, _prediction(fields) if is_prediction else _bar(fields)
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                self._log.error(
                    "message left out, it has not the form of its topic",
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    reason=repr(error),
                )

    def _keep_newest(self, pipeline: Pipeline, update: _Update) -> None:
        arguments = [value for item in update.values.items() for value in item]
        pipeline.execute_command(  # type: ignore[no-untyped-call] # redis-py's evalsha takes text only
            "EVALSHA", self._script, 1, update.key, *update.order_fields, *update.position, *arguments
        )


def _prediction(fields: dict[str, Any]) -> _Update:
    source = fields["source"]
    values = {name: _plain(fields.get(name)) for name in PREDICTION_FIELDS}
    values["source_partition"] = int(source["partition"])
    values["source_offset"] = int(source["offset"])
    return _Update(
        key=LATEST_KEY.format(symbol=fields["symbol"]),
        order_fields=("event_time", "source_offset"),
        position=(int(fields["event_time"]), int(source["offset"])),
        values=values,
    )


def _bar(fields: dict[str, Any]) -> _Update:
    prefix = f"bar_{fields['interval']}_"
    return _Update(
        key=LATEST_KEY.format(symbol=fields["symbol"]),
        order_fields=(f"{prefix}window_end", f"{prefix}source_offset"),
        position=(int(fields["window_end"]), int(fields["source"]["offset"])),
        values={prefix + name: _plain(fields.get(name)) for name in BAR_FIELDS},
    )


def _plain(value: object) -> str | int | float:
    """A value as Redis keeps it: numbers and text as they are, nothing as an empty string."""
    if value is None:
        return ""
    return value if type(value) in (str, int, float) else str(value)  # type: ignore[return-value]


def _explained(error: exceptions.RedisError | OSError) -> Exception:
    """An outage that passes, or a sentence about what never will."""
    if (refusal := lasting_refusal(error)) is not None:
        return CommandError(refusal)
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (*_TRANSIENT, OSError)):
        return StoreUnavailableError(reason)
    return CommandError(f"Redis refuses the view ({reason}); see whether TICKCAST_REDIS__URL names the right database")


def run_view(settings: Settings, stop: threading.Event, *, until_end: bool = False) -> int:
    """Keep the view up to date until stopped.

    Args:
        settings: All settings.
        stop: Ends the run after the batch in hand.
        until_end: Also stop when everything is written that was in the topics at the start.

    Returns:
        How many messages were read and written.
    """
    store = RedisView(settings.redis, topic_name(Topic.PREDICTIONS, settings.kafka))
    return follow_topics(
        settings.kafka,
        TOPICS,
        store,
        isolation="read_uncommitted",
        stop=stop,
        until_end=until_end,
    )


def view(
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when all is written that was in the topics at the start.")
    ] = False,
) -> None:
    """Keep the latest prediction, price and bar of every symbol in Redis, until stopped."""
    configure_logging()
    run_view(Settings(), stop_on_signals(), until_end=until_end)
