"""Real servers for the tests that ask for them, each started once, on free ports and with a home of their own.

Tests under ``tests/unit`` and ``tests/property`` ask for none of them.
"""

from __future__ import annotations

import os
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest
from kafka.admin import NewTopic

from console.kafka_io import open_admin
from console.stack import ports
from console.stack.flink import FlinkCluster
from console.stack.kafka import KafkaBroker
from console.stack.ports import free_port
from console.stack.postgres import PostgresServer
from console.stack.redis import RedisServer
from jobs.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def pytest_configure() -> None:
    """Keep the settings of whoever runs the tests away from them, and those who run them away from each other."""
    for variable in [name for name in os.environ if name.startswith("TICKCAST_")]:
        del os.environ[variable]
    # Where several processes share the tests, each has ports of its own: one is found free long before it is taken.
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports.FOR_SERVERS = ports.FOR_SERVERS[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


@pytest.fixture(scope="session")
def stack_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that point a `tickcast` process at the tests' servers."""
    return new_stack_environment(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="session")
def stack_settings(stack_environment: dict[str, str]) -> Iterator[Settings]:
    """Settings that point at the tests' servers."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in stack_environment.items():
            patch.setenv(variable, value)
        settings = Settings()
    yield settings
    remove_home(settings.home)


@pytest.fixture(scope="session")
def broker(stack_settings: Settings) -> Iterator[KafkaBroker]:
    """A running Kafka broker."""
    server = KafkaBroker(stack_settings.home, stack_settings.kafka)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kafka_bootstrap_servers(broker: KafkaBroker) -> str:
    """Address of a running Kafka broker, host:port."""
    return broker.address


@pytest.fixture(scope="session")
def make_topic(broker: KafkaBroker, stack_settings: Settings) -> Callable[..., str]:
    """Creates a topic with a name of its own: ``make_topic(partitions=1, **config)`` returns the name."""
    del broker

    def make(partitions: int = 1, **config: str) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        admin = open_admin(stack_settings.kafka)
        try:
            topic_config = {key.replace("_", "."): value for key, value in config.items()}
            admin.create_topics(
                [NewTopic(name, num_partitions=partitions, replication_factor=1, topic_configs=topic_config)]
            )
        finally:
            admin.close()
        return name

    return make


@pytest.fixture(scope="session")
def redis_server(stack_settings: Settings) -> Iterator[RedisServer]:
    """A running Redis."""
    server = RedisServer(stack_settings.home, port_of(stack_settings.redis.url.get_secret_value()))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """Address of a running Redis."""
    return redis_server.address


@pytest.fixture(scope="session")
def postgres_server(stack_settings: Settings) -> Iterator[PostgresServer]:
    """A running PostgreSQL."""
    server = PostgresServer(stack_settings.home, port_of(stack_settings.postgres.dsn.get_secret_value()))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_dsn(postgres_server: PostgresServer) -> str:
    """Address of a running PostgreSQL with a database ``tickcast``."""
    return postgres_server.address


@pytest.fixture(scope="session")
def flink(stack_settings: Settings) -> Iterator[FlinkCluster]:
    """A running Flink cluster; its REST interface is at ``flink.address``."""
    cluster = FlinkCluster(stack_settings)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real trades; a test that asks for it is skipped where it is absent."""
    folder = PROJECT_ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real trades in {folder}")
    return folder


def new_stack_environment(home: Path) -> dict[str, str]:
    """Variables for a stack with a home and ports of its own."""
    return {
        "TICKCAST_STACK__HOME": str(home),
        "TICKCAST_STACK__TASK_SLOTS": "4",
        "TICKCAST_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "TICKCAST_FLINK__REST_ADDRESS": f"http://127.0.0.1:{free_port()}",
        "TICKCAST_REDIS__URL": f"redis://127.0.0.1:{free_port()}/0",
        "TICKCAST_POSTGRES__DSN": f"postgresql://tickcast@127.0.0.1:{free_port()}/tickcast",
    }


@pytest.fixture(scope="session")
def new_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], dict[str, str]]]:
    """Makes the variables of one more stack with a home and ports of its own."""
    homes: list[Path] = []

    def make() -> dict[str, str]:
        homes.append(tmp_path_factory.mktemp("stack"))
        return new_stack_environment(homes[-1])

    yield make
    for home in homes:
        remove_home(home)


def port_of(address: str) -> int:
    """Port of an address such as ``redis://127.0.0.1:6379/0``."""
    return int(address.rpartition(":")[2].partition("/")[0])


def remove_home(home: Path) -> None:
    """Remove a stack's folder and, where it is a link to elsewhere, PostgreSQL's data."""
    if (home / "postgres").is_symlink():
        shutil.rmtree((home / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
