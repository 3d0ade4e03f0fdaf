"""``tickcast history``: committed predictions, bars, alerts and outcomes in PostgreSQL.

A row's primary key is the position in the ticks' log of what it is about, so a replay writes the
same rows again. Where two messages are about the same position the one that came later in its
topic stands, in whatever order they are written.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import orjson
import psycopg
import structlog
import typer
from psycopg import sql

from console.errors import CommandError
from console.history_schema import TABLES, Table, describe, migrate
from console.logs import configure_logging
from console.postgres_io import open_postgres, sentence
from console.topic_writer import StoreUnavailableError, follow_topics, stop_on_signals
from jobs.settings import Settings
from jobs.topics import topic_name
from state.records import MARKET_SYMBOL

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from kafka.consumer.fetcher import ConsumerRecord
    from psycopg.rows import TupleRow

    from jobs.settings import KafkaSettings, PostgresSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MISFITS = (psycopg.DataError, psycopg.IntegrityError)
_OUTAGES = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)


class PostgresHistory:
    """The PostgreSQL side of the history; a :class:`console.topic_writer.Store`.

    Args:
        postgres: Where PostgreSQL is.
        kafka: Gives the topics their names.
    """

    name = "history"

    def __init__(self, postgres: PostgresSettings, kafka: KafkaSettings) -> None:
        self._postgres = postgres
        self._tables = {topic_name(topic, kafka): table for topic, table in TABLES.items()}
        self._upserts: dict[str, _Upsert] = {}
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._log = structlog.get_logger(self.name)

    def open(self) -> bool:
        """Connect and migrate; whether the tables were there before."""
        self.close()
        try:
            self._connection = connection = open_postgres(self._postgres, "tickcast history")
        except psycopg.OperationalError as error:
            raise StoreUnavailableError(sentence(error)) from error
        try:
            complete = migrate(connection)
            self._upserts = {
                topic: _Upsert(connection, describe(connection, table)) for topic, table in self._tables.items()
            }
        except _OUTAGES as error:
            raise StoreUnavailableError(sentence(error)) from error
        except psycopg.Error as error:
            raise CommandError(
                f"PostgreSQL refuses the history's tables ({sentence(error)});"
                " see whether TICKCAST_POSTGRES__DSN names the right database and its user may create tables"
            ) from error
        return complete

    def write(self, records: Sequence[ConsumerRecord]) -> None:
        """Write a batch in one transaction."""
        rows = [_Row(record, values) for record in records if (values := self._read(record)) is not None]
        try:
            self._merge(rows)
        except _MISFITS:
            # One row does not fit its table: find it, and let the others in.
            for row in rows:
                try:
                    self._merge([row])
                except _MISFITS as error:
                    self._leave_out(row.record, sentence(error))

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()

    def _read(self, record: ConsumerRecord) -> tuple[Any, ...] | None:
        try:
            return self._upserts[record.topic].row(record)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self._leave_out(record, repr(error))
            return None

    def _merge(self, rows: Sequence[_Row]) -> None:
        if self._connection is None:
            raise StoreUnavailableError("not connected")
        batches: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for row in rows:
            batches[row.record.topic].append(row.values)
        try:
            with self._connection.transaction():
                for topic in sorted(batches):
                    self._upserts[topic].write(batches[topic])
        except _OUTAGES as error:
            raise StoreUnavailableError(sentence(error)) from error
        except psycopg.ProgrammingError as error:
            raise CommandError(
                f"PostgreSQL refuses the history's rows ({sentence(error)});"
                " see whether someone changed the tables or the rights of the user in TICKCAST_POSTGRES__DSN"
            ) from error

    def _leave_out(self, record: ConsumerRecord, reason: str) -> None:
        self._log.error(
            "message left out, it has not the form of its topic",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
        )


class _Row(NamedTuple):
    record: ConsumerRecord
    values: tuple[Any, ...]


class _Upsert:
    """Brings rows into one table: COPY into a temporary twin, then one INSERT … ON CONFLICT."""

    def __init__(self, connection: psycopg.Connection[TupleRow], table: Table) -> None:
        self._connection = connection
        self._readers = [(name, _READERS[kind]) for name, kind in table.columns.items()]
        twin = sql.Identifier(f"incoming_{table.name}")
        target = sql.Identifier(table.name)
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        key = sql.SQL(", ").join(map(sql.Identifier, table.key))
        self._copy = sql.SQL("COPY {twin} ({columns}) FROM STDIN").format(twin=twin, columns=columns)
        self._merge = sql.SQL(
            "INSERT INTO {target} ({columns})"
            " SELECT DISTINCT ON ({key}) {columns} FROM {twin} ORDER BY {key}, topic_offset DESC"
            " ON CONFLICT ({key}) DO UPDATE SET ({columns}) = ROW ({new})"
            " WHERE excluded.topic_offset > {target}.topic_offset"
        ).format(
            target=target,
            columns=columns,
            key=key,
            twin=twin,
            new=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in table.columns),
        )
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {twin} (LIKE {target}) ON COMMIT DELETE ROWS").format(
                twin=twin, target=target
            )
        )

    def row(self, record: ConsumerRecord) -> tuple[Any, ...]:
        """A message as the table's columns.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: It has not the form of its topic.
        """
        fields: dict[str, Any] = orjson.loads(record.value)
        source = fields["source"]
        fields["source_partition"] = source["partition"]
        fields["source_offset"] = source["offset"]
        fields["topic_partition"] = record.partition
        fields["topic_offset"] = record.offset
        if fields["symbol"] is None:
            fields["symbol"] = MARKET_SYMBOL  # a primary key has no NULL
        return tuple(None if (value := fields.get(name)) is None else read(value) for name, read in self._readers)

    def write(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Merge rows into the table, inside the caller's transaction."""
        cursor = self._connection.cursor()
        with cursor.copy(self._copy) as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(self._merge)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise TypeError(f"{value!r:.80} is no text")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f"{value!r:.80} is neither true nor false")


def _from_epoch_ms(value: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=value)


def _as_json(value: object) -> str:
    return orjson.dumps(value).decode()


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "boolean": _boolean,
    "integer": int,
    "bigint": int,
    "double precision": float,
    "timestamp with time zone": _from_epoch_ms,
    "jsonb": _as_json,
}
"""How a message's field becomes a value of a column's type."""


def run_history(settings: Settings, stop: threading.Event, *, until_end: bool = False) -> int:
    """Keep the history up to date until stopped.

    Args:
        settings: All settings.
        stop: Ends the run after the batch in hand.
        until_end: Also stop when everything is written that was in the topics at the start.

    Returns:
        How many messages were read and written.
    """
    return follow_topics(
        settings.kafka,
        tuple(TABLES),
        PostgresHistory(settings.postgres, settings.kafka),
        isolation="read_committed",
        stop=stop,
        until_end=until_end,
    )


def history(
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when all is written that was in the topics at the start.")
    ] = False,
) -> None:
    """Write committed predictions, bars, alerts and outcomes to PostgreSQL, until stopped."""
    configure_logging()
    run_history(Settings(), stop_on_signals(), until_end=until_end)
