from __future__ import annotations

import random
import signal
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr

from console.errors import CommandError
from console.history import PostgresHistory, run_history
from console.history_schema import TABLES
from console.kafka_io import read_committed
from jobs.topics import Topic

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from console.stack.component import Component
    from console.stack.postgres import PostgresServer
    from jobs.settings import Settings

    Make = Callable[..., dict[str, Any]]
    Wait = Callable[[Callable[[], bool]], None]
    Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def database(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(settings.postgres.dsn.get_secret_value(), autocommit=True) as connection:
        yield connection


def keep(settings: Settings) -> int:
    """Brings the history up to date with the topics."""
    return run_history(settings, threading.Event(), until_end=True)


def rows(database: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return database.execute(query).fetchall()


def test_every_message_becomes_a_row_with_typed_columns(
    settings: Settings,
    database: psycopg.Connection[Any],
    producer: Any,
    prediction: Make,
    bar: Make,
    alert: Make,
    outcome: Make,
) -> None:
    producer.write(Topic.PREDICTIONS, prediction(offset=3, trade_id=None))
    producer.write(Topic.BARS, bar(offset=3))
    producer.write(Topic.ALERTS, alert(offset=3, detail={"previous_close": 455.0}))
    producer.write(Topic.OUTCOMES, outcome(offset=3))
    assert keep(settings) == 4
    assert rows(database, "SELECT symbol, price, trade_id, extract(epoch FROM event_time) * 1000 FROM predictions") == [
        ("NABIL", 500.5, None, 1_719_900_003_000)
    ]
    assert rows(database, "SELECT interval, close, trades, window_end - window_start FROM bars")[0][:3] == (
        "1m",
        501.0,
        14,
    )
    assert rows(database, "SELECT rule, value, (detail ->> 'previous_close')::numeric FROM alerts") == [
        ("price_band", 0.099, 455)
    ]
    assert rows(database, "SELECT realised, correct, return_bps FROM outcomes") == [("up", False, 9.99)]


def test_replays_and_any_order_of_writing_leave_the_same_rows(
    settings: Settings,
    database: psycopg.Connection[Any],
    producer: Any,
    prediction: Make,
    bar: Make,
    alert: Make,
    outcome: Make,
) -> None:
    for offset in range(12):
        producer.write(Topic.PREDICTIONS, prediction(offset=offset), prediction(offset=offset, role="shadow"))
        producer.write(Topic.BARS, bar(offset=offset), bar(offset=offset, interval="5m"))
        producer.write(Topic.ALERTS, alert(offset=offset), alert(offset=offset, rule="breakout"))
        producer.write(Topic.OUTCOMES, outcome(offset=offset))
    # A second form of something that is there already, later in its topic.
    producer.write(Topic.PREDICTIONS, prediction(offset=4, p_up=0.9))
    producer.write(Topic.ALERTS, alert(offset=4, value=0.5))
    keep(settings)

    def tables() -> dict[str, list[tuple[Any, ...]]]:
        ordered = "SELECT * FROM {} ORDER BY 1, 2, 3, 4"
        return {table: rows(database, ordered.format(table)) for table in TABLES.values()}

    expected = tables()
    assert [len(expected[table]) for table in TABLES.values()] == [24, 24, 24, 12]
    assert rows(database, "SELECT p_up FROM predictions WHERE source_offset = 4 AND role = 'active'") == [(0.9,)]

    records = list(read_committed(settings.kafka, list(TABLES)))
    shuffled = random.Random(5)  # noqa: S311 - a repeatable order
    database.execute("TRUNCATE predictions, bars, alerts, outcomes")
    history = PostgresHistory(settings.postgres, settings.kafka)
    history.open()
    for batch_size in (1, 7, len(records)):
        shuffled.shuffle(records)
        for start in range(0, len(records), batch_size):
            history.write(records[start : start + batch_size])
            history.write(records[start : start + batch_size])
    history.close()
    assert tables() == expected


def test_only_committed_messages_become_rows(
    settings: Settings, database: psycopg.Connection[Any], producer: Any, prediction: Make
) -> None:
    producer.begin()
    producer.send(Topic.PREDICTIONS, prediction(offset=1))
    producer.abort()
    producer.write(Topic.PREDICTIONS, prediction(offset=2))
    producer.begin()
    producer.send(Topic.PREDICTIONS, prediction(offset=3))
    keep(settings)
    assert rows(database, "SELECT source_offset FROM predictions") == [(2,)]
    producer.commit()
    keep(settings)
    assert rows(database, "SELECT source_offset FROM predictions ORDER BY 1") == [(2,), (3,)]


def test_an_alert_about_the_market_has_a_row_whatever_its_symbol(
    settings: Settings, database: psycopg.Connection[Any], producer: Any, market_alert: Make
) -> None:
    producer.write(Topic.ALERTS, {**market_alert("trading_halt"), "symbol": None}, market_alert("index_halt"))
    keep(settings)
    assert rows(database, "SELECT rule, symbol, source_partition, detail ->> 'start' FROM alerts ORDER BY 1") == [
        ("index_halt", "*MARKET*", -1, "1719900000000"),
        ("trading_halt", "*MARKET*", -1, "1719900000000"),
    ]


def test_a_message_that_does_not_fit_is_left_out_and_named_and_the_others_are_kept(
    settings: Settings,
    database: psycopg.Connection[Any],
    producer: Any,
    prediction: Make,
    bar: Make,
    capfd: pytest.CaptureFixture[str],
) -> None:
    producer.write(
        Topic.PREDICTIONS,
        prediction(offset=1),
        b"\xff no JSON",
        b"null",
        prediction(offset=2, price="dear"),
        prediction(offset=3, symbol="NUL\0L"),
        prediction(offset=4, p_up=None),
        prediction(offset=5, event_time=10**18),
        prediction(offset=6, colour="red"),
    )
    producer.write(Topic.BARS, bar(offset=1, volume=2**64 - 1), bar(offset=2))
    keep(settings)
    assert rows(database, "SELECT source_offset FROM predictions ORDER BY 1") == [(1,), (6,)]
    assert rows(database, "SELECT source_offset FROM bars") == [(2,)]
    assert capfd.readouterr().out.count("message left out") == 7


def test_a_killed_postgresql_is_waited_for_and_nothing_is_skipped(
    settings: Settings,
    postgres_server: PostgresServer,
    producer: Any,
    prediction: Make,
    outcome: Make,
    kill: Callable[[Component], None],
    in_background: Callable[..., Any],
    eventually: Wait,
) -> None:
    def count() -> int:
        with psycopg.connect(settings.postgres.dsn.get_secret_value()) as connection:
            return len(rows(connection, "SELECT FROM predictions UNION ALL SELECT FROM outcomes"))

    with in_background(lambda stop: run_history(settings, stop)):
        producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(100)])
        keep(settings)
        assert count() == 100
        kill(postgres_server)
        producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(100, 300)])
        producer.write(Topic.OUTCOMES, *[outcome(offset=offset) for offset in range(50)])
        postgres_server.start()
        eventually(lambda: count() == 350)
    with psycopg.connect(settings.postgres.dsn.get_secret_value()) as connection:
        assert rows(connection, "SELECT min(source_offset), max(source_offset), count(*) FROM predictions") == [
            (0, 299, 300)
        ]
        assert rows(connection, "SELECT count(*) FROM outcomes") == [(50,)]
    assert keep(settings) == 0


def test_stopping_during_an_outage_skips_nothing(
    settings: Settings,
    postgres_server: PostgresServer,
    producer: Any,
    prediction: Make,
    kill: Callable[[Component], None],
    in_background: Callable[..., Any],
    eventually: Wait,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with in_background(lambda stop: run_history(settings, stop)):
        producer.write(Topic.PREDICTIONS, prediction(offset=0))
        keep(settings)
        kill(postgres_server)
        producer.write(Topic.PREDICTIONS, prediction(offset=1))
        eventually(lambda: "waiting for the store" in capfd.readouterr().out)
    postgres_server.start()
    keep(settings)
    with psycopg.connect(settings.postgres.dsn.get_secret_value()) as connection:
        assert rows(connection, "SELECT source_offset FROM predictions ORDER BY 1") == [(0,), (1,)]


def test_a_new_database_is_filled_from_the_beginning(
    settings: Settings, database: psycopg.Connection[Any], producer: Any, prediction: Make
) -> None:
    producer.write(Topic.PREDICTIONS, prediction(offset=1))
    keep(settings)
    database.execute("DROP TABLE predictions, bars, alerts, outcomes, schema_version")
    producer.write(Topic.PREDICTIONS, prediction(offset=2))
    keep(settings)
    assert rows(database, "SELECT source_offset FROM predictions ORDER BY 1") == [(1,), (2,)]


def test_sigterm_ends_the_history_with_exit_code_0_and_its_work_committed(
    settings: Settings,
    database: psycopg.Connection[Any],
    producer: Any,
    prediction: Make,
    tickcast: Start,
    eventually: Wait,
) -> None:
    process = tickcast("history")
    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(30)])
    exists = "SELECT to_regclass('predictions') IS NOT NULL"
    eventually(lambda: rows(database, exists)[0][0] and rows(database, "SELECT count(*) FROM predictions")[0][0] == 30)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=15)
    assert process.returncode == 0
    assert '"stopped"' in log
    assert keep(settings) == 0


def test_a_schema_of_a_newer_version_is_refused(settings: Settings, database: psycopg.Connection[Any]) -> None:
    keep(settings)
    database.execute("INSERT INTO schema_version (version) VALUES (999)")
    with pytest.raises(CommandError, match="version 999"):
        keep(settings)


@pytest.mark.parametrize(
    "change", [("tickcast@", "nobody:hush-hush@"), ("/tickcast", "/elsewhere"), ("postgresql", "hush-hush")]
)
def test_an_address_that_will_never_do_is_said_in_one_sentence_without_the_password(
    settings: Settings, change: tuple[str, str]
) -> None:
    dsn = SecretStr(settings.postgres.dsn.get_secret_value().replace(*change))
    history = PostgresHistory(settings.postgres.model_copy(update={"dsn": dsn}), settings.kafka)
    with pytest.raises(CommandError, match="TICKCAST_POSTGRES__DSN") as refusal:
        history.open()
    assert "hush-hush" not in str(refusal.value)


def test_a_killed_broker_is_waited_for_and_nothing_is_skipped(
    settings: Settings,
    broker: Component,
    database: psycopg.Connection[Any],
    producer: Any,
    prediction: Make,
    kill: Callable[[Component], None],
    in_background: Callable[..., Any],
    eventually: Wait,
) -> None:
    def count() -> int:
        return len(rows(database, "SELECT FROM predictions"))

    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(100)])
    keep(settings)
    with in_background(lambda stop: run_history(settings, stop)):
        producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(100, 200)])
        eventually(lambda: count() == 200)
        kill(broker)
        broker.start()
        producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(200, 300)])
        eventually(lambda: count() == 300)
    assert keep(settings) == 0
