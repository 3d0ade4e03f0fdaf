from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import redis

from console.stack.ports import free_port
from console.stack.postgres import PostgresServer
from console.stack.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.stack.component import Component
    from jobs.settings import Settings


PASSWORD = 'with "quotes" and \\'  # noqa: S105 - of a server that lives as long as a test


def listening(server: Component) -> set[str]:
    (process,) = server.processes()
    return {
        connection.laddr[0]
        for connection in psutil.Process(process.pid).net_connections("tcp")
        if connection.status == "LISTEN"
    }


def test_a_killed_redis_still_has_what_it_acknowledged(
    redis_server: RedisServer, kill: Callable[[Component], None]
) -> None:
    with redis.Redis.from_url(redis_server.address) as client:
        client.set("kept", "1")
        kill(redis_server)
        assert not redis_server.healthy().healthy
        redis_server.start()
        assert client.get("kept") == b"1"


def test_a_killed_postgresql_still_has_what_it_committed(
    postgres_server: PostgresServer, kill: Callable[[Component], None]
) -> None:
    with psycopg.connect(postgres_server.address, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    kill(postgres_server)
    assert not postgres_server.healthy().healthy
    postgres_server.start()
    with psycopg.connect(postgres_server.address, autocommit=True) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        connection.execute("DROP TABLE kept")


@pytest.mark.parametrize("name", ["redis_server", "postgres_server"])
def test_a_second_start_keeps_the_running_server_and_a_second_stop_does_nothing(
    name: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(name)
    (process,) = server.processes()
    before = process.pid
    server.start()
    assert process.pid == before
    server.stop()
    server.stop()
    assert process.pid is None
    server.start()


@pytest.mark.parametrize("name", ["redis_server", "postgres_server"])
def test_a_server_listens_on_loopback_only(name: str, request: pytest.FixtureRequest) -> None:
    assert listening(request.getfixturevalue(name)) == {"127.0.0.1"}


def test_a_redis_with_a_password_refuses_who_does_not_know_it(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, free_port(), password=PASSWORD)
    server.start()
    try:
        assert server.healthy().healthy
        with redis.Redis.from_url(server.address) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        (process,) = server.processes()
        assert "quotes" not in " ".join(psutil.Process(process.pid).cmdline())
    finally:
        server.stop()


def test_nobody_gets_more_rights_in_postgresql_than_the_history_needs(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.address) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        psycopg.connect(postgres_server.address.replace("tickcast@", "postgres@"))


def test_a_lock_file_of_a_dead_postgresql_does_not_keep_the_next_one_from_starting(
    postgres_server: PostgresServer, stack_settings: Settings, kill: Callable[[Component], None]
) -> None:
    lock = stack_settings.home / "postgres" / "data" / "postmaster.pid"
    kill(postgres_server)
    # After a restart of the machine the old process id belongs to someone else, here to this test.
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    postgres_server.start()
    assert postgres_server.healthy().healthy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as another user")
@pytest.mark.parametrize("reachable", [True, False], ids=["reachable home", "home out of reach"])
def test_root_gets_a_postgresql_that_runs_as_another_user(reachable: bool) -> None:
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755 if reachable else 0o700)
    server = PostgresServer(folder / "home", free_port())
    try:
        server.start()
        (process,) = server.processes()
        assert psutil.Process(process.pid).uids().effective != 0
        assert (folder / "home" / "postgres").is_symlink() is not reachable
    finally:
        server.stop()
        shutil.rmtree((folder / "home" / "postgres").resolve())
        shutil.rmtree(folder)
