"""The tables of the history, as a row of migrations: the one place that knows their columns.

A column's name says what fills it: ``source_partition`` and ``source_offset`` the message's
``source``, ``topic_partition`` and ``topic_offset`` the place of the message in its own topic, and
every other column the message's field of the same name. A column of type ``timestamptz`` takes ms
since the epoch.

A migration that was released is never changed; a new one is added at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql

from console.errors import CommandError
from jobs.topics import Topic

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

TABLES = {
    Topic.PREDICTIONS: "predictions",
    Topic.BARS: "bars",
    Topic.ALERTS: "alerts",
    Topic.OUTCOMES: "outcomes",
}
"""Table that keeps each topic."""

_MIGRATIONS = (
    """
    CREATE TABLE predictions (
        source_partition integer NOT NULL,
        source_offset bigint NOT NULL,
        role text NOT NULL,
        symbol text NOT NULL,
        event_time timestamptz NOT NULL,
        trade_id text,
        price double precision NOT NULL,
        p_up double precision NOT NULL,
        p_flat double precision NOT NULL,
        p_down double precision NOT NULL,
        direction text NOT NULL,
        model_version text NOT NULL,
        feature_schema text,
        market_time timestamptz,
        produced_at timestamptz,
        topic_partition integer NOT NULL,
        topic_offset bigint NOT NULL,
        PRIMARY KEY (source_partition, source_offset, role)
    );
    CREATE INDEX predictions_by_symbol ON predictions (symbol, event_time);

    CREATE TABLE bars (
        source_partition integer NOT NULL,
        source_offset bigint NOT NULL,
        interval text NOT NULL,
        symbol text NOT NULL,
        window_start timestamptz NOT NULL,
        window_end timestamptz NOT NULL,
        open double precision NOT NULL,
        high double precision NOT NULL,
        low double precision NOT NULL,
        close double precision NOT NULL,
        volume bigint NOT NULL,
        vwap double precision NOT NULL,
        trades bigint NOT NULL,
        mean_price double precision NOT NULL,
        topic_partition integer NOT NULL,
        topic_offset bigint NOT NULL,
        PRIMARY KEY (source_partition, source_offset, interval)
    );
    CREATE INDEX bars_by_symbol ON bars (symbol, interval, window_start);

    CREATE TABLE alerts (
        source_partition integer NOT NULL,
        source_offset bigint NOT NULL,
        rule text NOT NULL,
        symbol text NOT NULL,
        threshold double precision,
        value double precision,
        event_time timestamptz NOT NULL,
        message text,
        detail jsonb,
        topic_partition integer NOT NULL,
        topic_offset bigint NOT NULL,
        PRIMARY KEY (source_partition, source_offset, rule, symbol)
    );
    CREATE INDEX alerts_by_time ON alerts (event_time);

    CREATE TABLE outcomes (
        source_partition integer NOT NULL,
        source_offset bigint NOT NULL,
        role text NOT NULL,
        symbol text NOT NULL,
        event_time timestamptz NOT NULL,
        due_time timestamptz NOT NULL,
        price double precision NOT NULL,
        realised text NOT NULL,
        realised_price double precision NOT NULL,
        return_bps double precision NOT NULL,
        p_up double precision NOT NULL,
        p_flat double precision NOT NULL,
        p_down double precision NOT NULL,
        direction text NOT NULL,
        correct boolean NOT NULL,
        log_loss double precision NOT NULL,
        brier double precision NOT NULL,
        model_version text NOT NULL,
        topic_partition integer NOT NULL,
        topic_offset bigint NOT NULL,
        PRIMARY KEY (source_partition, source_offset, role)
    );
    CREATE INDEX outcomes_by_model ON outcomes (model_version, event_time);
    """,
)

_MIGRATION_LOCK = 7_160_263_101
"""Any number, the same in every version: two writers that start together migrate one after the other."""


class Table(NamedTuple):
    """A table as the database knows it: its columns with their types, and its primary key."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]


def migrate(connection: psycopg.Connection[TupleRow]) -> bool:
    """Bring the database to the newest schema.

    Returns:
        Whether the tables were there before.

    Raises:
        CommandError: A newer tickcast has migrated it further than this one knows.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version"
            " (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
        version = row[0] if row is not None else 0
        if version > len(_MIGRATIONS):
            raise CommandError(
                f"the history's schema has version {version} and this tickcast knows {len(_MIGRATIONS)};"
                " run the newer tickcast that wrote it, or name another database in TICKCAST_POSTGRES__DSN"
            )
        for number, statements in enumerate(_MIGRATIONS[version:], start=version + 1):
            connection.execute(sql.SQL(statements))
            connection.execute("INSERT INTO schema_version (version) VALUES (%s)", (number,))
    return version > 0


def describe(connection: psycopg.Connection[TupleRow], name: str) -> Table:
    """Columns and primary key of a table."""
    columns = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (name,),
    ).fetchall()
    key = connection.execute(
        "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)"
        " WHERE indrelid = %s::regclass AND indisprimary ORDER BY array_position(indkey, attnum)",
        (name,),
    ).fetchall()
    return Table(name, dict(columns), tuple(row[0] for row in key))
