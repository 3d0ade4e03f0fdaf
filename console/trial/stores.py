"""What Redis and PostgreSQL hold, against what is committed in Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import psycopg
import redis
from psycopg import sql

from console.history_schema import TABLES
from console.kafka_io import read_committed
from console.view import LATEST_KEY, PREDICTION_FIELDS, STREAM_KEY
from jobs.topics import Topic

if TYPE_CHECKING:
    from typing import Any

    from jobs.settings import Settings

_TIMEOUT_S = 3


def redis_newest(settings: Settings) -> int:
    """Event time (ms) of the prediction that the view wrote last; 0 while it can't be known."""
    try:
        with _redis(settings) as client:
            last: list[tuple[str, dict[str, str]]] = client.xrevrange(STREAM_KEY, count=1)
    except redis.RedisError:
        return 0
    return int(last[0][1]["event_time"]) if last else 0


def rows_newest(settings: Settings) -> int:
    """Event time (ms) of the newest prediction in the history; 0 while it can't be known."""
    query = "SELECT max(event_time) FROM predictions"
    try:
        with _postgres(settings) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error:
        return 0
    return int(row[0].timestamp() * 1000) if row and row[0] else 0


def contradicted(settings: Settings) -> list[str]:
    """Symbols whose latest prediction in Redis is not the last committed one; for a job at rest."""
    last: dict[str, dict[str, Any]] = {}
    for record in read_committed(settings.kafka, [Topic.PREDICTIONS]):
        one = orjson.loads(record.value)
        if one["role"] == "active" and _place(one) >= _place(last.get(one["symbol"])):
            last[one["symbol"]] = one
    with _redis(settings) as client:
        return [
            symbol
            for symbol, one in last.items()
            if not _same(one, client.hmget(LATEST_KEY.format(symbol=symbol), PREDICTION_FIELDS))
        ]


def missing_rows(settings: Settings) -> int:
    """Committed messages that the history does not hold, or holds without their being committed."""
    committed = dict.fromkeys(TABLES, 0)
    for topic in TABLES:
        committed[topic] = sum(1 for _ in read_committed(settings.kafka, [topic]))
    with _postgres(settings) as connection:
        rows = {
            topic: connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            for topic, table in TABLES.items()
        }
    return sum(abs(committed[topic] - (row[0] if row else 0)) for topic, row in rows.items())


def _place(one: dict[str, Any] | None) -> tuple[int, int]:
    return (-1, -1) if one is None else (one["event_time"], one["source"]["offset"])


def _same(one: dict[str, Any], held: list[str | None]) -> bool:
    """Whether the hash says what the message says, but for the clock: one that was rolled back was made twice."""
    said = {name: "" if one[name] is None else str(one[name]) for name in PREDICTION_FIELDS}
    return all(
        said[name] == value for name, value in zip(PREDICTION_FIELDS, held, strict=True) if name != "produced_at"
    )


def _redis(settings: Settings) -> redis.Redis:
    return redis.Redis.from_url(
        settings.redis.url.get_secret_value(),
        decode_responses=True,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
    )


def _postgres(settings: Settings) -> psycopg.Connection[Any]:
    return psycopg.connect(settings.postgres.dsn.get_secret_value(), connect_timeout=_TIMEOUT_S)
