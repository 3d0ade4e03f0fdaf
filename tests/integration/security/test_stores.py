"""Redis and PostgreSQL behind encryption and a password, and the one sentence for whoever has them wrong."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
import psycopg
import pytest
from kafka import KafkaProducer
from psycopg import sql
from pydantic import SecretStr

from console.errors import CommandError
from console.history import PostgresHistory, run_history
from console.kafka_io import connection_config
from console.postgres_io import open_postgres
from console.redis_io import open_redis
from console.stack.ports import free_port
from console.stack.postgres import PostgresServer
from console.stack.redis import RedisServer
from console.stack.stack import Stack
from console.view import LATEST_KEY, RedisView, run_view
from jobs.topics import Topic, topic_name
from tests.integration.security.conftest import EncryptedDoor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.settings import PostgresSettings, RedisSettings, Settings
    from tests.integration.security.conftest import Certificates

BOUND_S = 15
NOTED_S = 10
AUTHENTICATION = "host tickcast tickcast 127.0.0.1/32 scram-sha-256\n"


@pytest.fixture(scope="module")
def redis_behind_tls(
    stack_settings: Settings, certificates: Certificates, secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisSettings]:
    """Settings of a Redis that is reached through TLS alone and asks for a password."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), free_port(), password=secret)
    try:
        server.start()
        with closing(EncryptedDoor(server.ports()[0].number, certificates.server)) as door:
            url = f"rediss://:{quote(secret, safe='')}@127.0.0.1:{door.port}/0"
            yield stack_settings.redis.model_copy(
                update={"url": SecretStr(url), "ssl_ca_file": str(certificates.authority)}
            )
    finally:
        server.stop()


@pytest.fixture(scope="module")
def postgres_behind_tls(
    stack_settings: Settings, certificates: Certificates, secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresSettings]:
    """Settings of a PostgreSQL that is reached through TLS alone and asks for a password."""
    home = tmp_path_factory.mktemp("postgres")
    server = PostgresServer(home, free_port())
    try:
        server.start()
        with psycopg.connect(server.address, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE tickcast PASSWORD {}").format(secret))
        (home / "postgres" / "data" / "pg_hba.conf").write_text(AUTHENTICATION, encoding="ascii")
        (process,) = server.processes()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGHUP)
        _until_refused(server.address)
        with closing(EncryptedDoor(server.ports()[0].number, certificates.server, postgres=True)) as door:
            dsn = f"postgresql://tickcast:{quote(secret, safe='')}@127.0.0.1:{door.port}/tickcast"
            yield stack_settings.postgres.model_copy(
                update={
                    "dsn": SecretStr(dsn),
                    "ssl_mode": "verify-full",
                    "ssl_ca_file": str(certificates.authority),
                }
            )
    finally:
        server.stop()


def _until_refused(address: str) -> None:
    deadline = time.monotonic() + NOTED_S
    while time.monotonic() < deadline:
        try:
            psycopg.connect(address, connect_timeout=3).close()
        except psycopg.OperationalError:
            return
        time.sleep(0.1)
    raise AssertionError("PostgreSQL does not ask for the password")


@pytest.fixture
def guarded(secured: Settings, redis_behind_tls: RedisSettings, postgres_behind_tls: PostgresSettings) -> Settings:
    """Settings in which every server demands encryption and a password."""
    return secured.model_copy(update={"redis": redis_behind_tls, "postgres": postgres_behind_tls})


def refused(settings: RedisSettings) -> str:
    start = time.monotonic()
    with pytest.raises(CommandError) as refusal:
        RedisView(settings, "nepse-predictions").open()
    assert time.monotonic() - start < BOUND_S
    return str(refusal.value)


def refused_history(settings: PostgresSettings, guarded: Settings) -> str:
    start = time.monotonic()
    with pytest.raises(CommandError) as refusal:
        PostgresHistory(settings, guarded.kafka).open()
    assert time.monotonic() - start < BOUND_S
    return str(refusal.value)


def test_a_prediction_comes_through_encryption_alone_into_redis_and_postgresql(guarded: Settings) -> None:
    message = {
        "symbol": "NABIL",
        "event_time": 1_719_900_000_000,
        "trade_id": "2024070200000001",
        "price": 500.5,
        "p_up": 0.3,
        "p_flat": 0.5,
        "p_down": 0.2,
        "direction": "flat",
        "model_version": "2024-07-01",
        "role": "active",
        "feature_schema": "ab12cd34",
        "market_time": 1_719_899_996_000,
        "source": {"partition": 1, "offset": 0},
        "sequence": 1,
        "produced_at": 1_719_900_000_100,
    }
    with closing(KafkaProducer(**connection_config(guarded.kafka))) as producer:
        topic = topic_name(Topic.PREDICTIONS, guarded.kafka)
        producer.send(topic, orjson.dumps(message), b"NABIL").get(timeout=BOUND_S)

    assert run_view(guarded, threading.Event(), until_end=True) == 1
    assert run_history(guarded, threading.Event(), until_end=True) == 1

    with closing(open_redis(guarded.redis)) as client:
        shown: dict[str, Any] = client.hgetall(LATEST_KEY.format(symbol="NABIL"))  # type: ignore[assignment]
    assert shown["trade_id"] == message["trade_id"]
    with open_postgres(guarded.postgres, "tests") as connection:
        assert connection.execute("SELECT trade_id FROM predictions").fetchall() == [(message["trade_id"],)]
        assert connection.info.pgconn.ssl_in_use


def test_the_stack_takes_servers_that_demand_encryption_for_the_users_own_and_finds_them_well(
    guarded: Settings,
) -> None:
    stack = Stack(guarded)
    servers = {server.name: server for server in stack.servers}
    for name in ("kafka", "redis", "postgres"):
        assert servers[name].processes() == []
        assert servers[name].healthy().healthy, servers[name].healthy().detail


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("ssl_ca_file", "stranger", "not trusted.*TICKCAST_REDIS__SSL_CA_FILE"),
        ("ssl_ca_file", "", "not trusted.*TICKCAST_REDIS__SSL_CA_FILE"),
        ("ssl_ca_file", "/nowhere.pem", "TICKCAST_REDIS__SSL_CA_FILE can't be read"),
        ("password", "mistyped", "refuses the log-on.*TICKCAST_REDIS__URL"),
        ("certificate", "elsewhere", "not trusted .*127.0.0.1.*TICKCAST_REDIS__SSL_CA_FILE"),
    ],
)
def test_the_view_is_told_in_one_sentence_and_in_time_what_it_has_wrong(
    redis_behind_tls: RedisSettings,
    certificates: Certificates,
    secret: str,
    field: str,
    value: str,
    remedy: str,
) -> None:
    url = redis_behind_tls.url.get_secret_value()
    port = int(url.rpartition(":")[2].partition("/")[0])
    change: dict[str, object]
    with closing(EncryptedDoor(port, certificates.elsewhere)) as misnamed:
        if field == "ssl_ca_file":
            change = {field: str(certificates.stranger) if value == "stranger" else value}
        elif field == "password":
            change = {"url": SecretStr(url.replace(quote(secret, safe=""), value))}
        else:
            change = {"url": SecretStr(url.replace(str(port), str(misnamed.port)))}
        said = refused(redis_behind_tls.model_copy(update=change))
    assert re.search(remedy, said), said
    assert len(said.splitlines()) == 1
    assert secret not in said


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"ssl_ca_file": "stranger"}, "not trusted"),
        ({"ssl_ca_file": "/nowhere.pem"}, "TICKCAST_POSTGRES__SSL_CA_FILE"),
        ({"dsn": "mistyped"}, "refuses the log-on"),
        ({"dsn": "elsewhere"}, "certificate of another server"),
        ({"dsn": "plain"}, "does not encrypt"),
    ],
)
def test_the_history_is_told_in_one_sentence_and_in_time_what_it_has_wrong(
    guarded: Settings,
    certificates: Certificates,
    postgres_server: PostgresServer,
    secret: str,
    change: dict[str, str],
    remedy: str,
) -> None:
    dsn = guarded.postgres.dsn.get_secret_value()
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    with closing(EncryptedDoor(port, certificates.elsewhere, postgres=True)) as misnamed:
        meant: dict[str, object] = {
            "stranger": str(certificates.stranger),
            "mistyped": SecretStr(dsn.replace(quote(secret, safe=""), "mistyped")),
            "elsewhere": SecretStr(dsn.replace(str(port), str(misnamed.port))),
            "plain": SecretStr(postgres_server.address),
        }
        wrong = guarded.postgres.model_copy(update={name: meant.get(value, value) for name, value in change.items()})
        said = refused_history(wrong, guarded)
    assert remedy in said
    assert len(said.splitlines()) == 1
    assert secret not in said
    assert "mistyped" not in said
