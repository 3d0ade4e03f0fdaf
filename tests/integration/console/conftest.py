"""A deployment of its own for every test, and messages as the job writes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import pytest
import redis
from kafka import KafkaProducer

from console.kafka_io import connection_config
from console.stack.topics import create_topics
from jobs.topics import Topic, topic_name
from state.bars import Bar
from state.market_alerts import MarketAlert
from state.records import alert_record, bar_record, market_alert_record
from state.symbol_alerts import Alert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from console.stack.component import Component
    from console.stack.kafka import KafkaBroker
    from console.stack.postgres import PostgresServer
    from console.stack.redis import RedisServer
    from jobs.settings import KafkaSettings, Settings

WAIT_S = 30


@pytest.fixture
def settings(
    stack_settings: Settings, broker: KafkaBroker, redis_server: RedisServer, postgres_server: PostgresServer
) -> Settings:
    """Settings of a deployment whose topics, Redis and database are empty."""
    del broker
    kafka = stack_settings.kafka.model_copy(update={"topic_prefix": f"t{uuid.uuid4().hex[:8]}", "partitions": 2})
    stream = stack_settings.redis.model_copy(update={"stream_length": 1000})
    fresh = stack_settings.model_copy(update={"kafka": kafka, "redis": stream})
    create_topics(fresh)
    with redis.Redis.from_url(redis_server.address) as client:
        client.flushall()
    with psycopg.connect(postgres_server.address, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS predictions, bars, alerts, outcomes, schema_version")
    return fresh


@pytest.fixture
def environment(settings: Settings, stack_environment: dict[str, str]) -> dict[str, str]:
    """The same settings for a `tickcast` process."""
    return {**os.environ, **stack_environment, "TICKCAST_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix}


@pytest.fixture
def tickcast(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command as a process; what is left of it at the end of the test is killed."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "console.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Producer:
    """Writes messages as the job does: key = symbol, several in one transaction."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer = KafkaProducer(**connection_config(kafka), transactional_id=f"tests-{uuid.uuid4()}")
        self._producer.init_transactions()

    def begin(self) -> None:
        self._producer.begin_transaction()

    def send(self, topic: Topic, *values: dict[str, Any] | bytes, timestamp: int | None = None) -> None:
        for value in values:
            raw = value if isinstance(value, bytes) else orjson.dumps(value)
            key = b"" if isinstance(value, bytes) else str(value.get("symbol")).encode()
            name = topic_name(topic, self._kafka)
            self._producer.send(name, raw, key=key, partition=sum(key) % 2, timestamp_ms=timestamp)
        self._producer.flush()

    def commit(self) -> None:
        self._producer.commit_transaction()

    def abort(self) -> None:
        self._producer.abort_transaction()

    def write(self, topic: Topic, *values: dict[str, Any] | bytes, timestamp: int | None = None) -> None:
        """Messages in a committed transaction of their own."""
        self.begin()
        self.send(topic, *values, timestamp=timestamp)
        self.commit()

    def close(self) -> None:
        self._producer.close()


@pytest.fixture
def producer(settings: Settings) -> Iterator[Producer]:
    opened = Producer(settings.kafka)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def prediction() -> Callable[..., dict[str, Any]]:
    def make(symbol: str = "NABIL", offset: int = 0, **changes: object) -> dict[str, Any]:
        return {
            "symbol": symbol,
            "event_time": 1_719_900_000_000 + 1000 * offset,
            "trade_id": f"20240702{offset:08d}",
            "price": 500.5,
            "p_up": 0.3,
            "p_flat": 0.5,
            "p_down": 0.2,
            "direction": "flat",
            "model_version": "2024-07-01",
            "role": "active",
            "feature_schema": "ab12cd34",
            "market_time": 1_719_899_996_000,
            "source": {"partition": 1, "offset": offset},
            "produced_at": 1_719_900_000_100,
            **changes,
        }

    return make


@pytest.fixture(scope="session")
def bar() -> Callable[..., dict[str, Any]]:
    def make(symbol: str = "NABIL", offset: int = 0, **changes: object) -> dict[str, Any]:
        start = 1_719_900_000_000 + 60_000 * offset
        made = Bar(
            interval="1m",
            window_start=start,
            window_end=start + 60_000,
            open=500.0,
            high=502.0,
            low=499.0,
            close=501.0,
            volume=1200,
            vwap=500.7,
            trades=14,
            mean_price=500.6,
            partition=1,
            offset=offset,
        )
        return {**bar_record(symbol, made), **changes}

    return make


@pytest.fixture(scope="session")
def alert() -> Callable[..., dict[str, Any]]:
    def make(symbol: str = "NABIL", offset: int = 0, **changes: object) -> dict[str, Any]:
        made = Alert(
            rule="price_band",
            event_time=1_719_900_000_000 + 1000 * offset,
            threshold=0.1,
            value=0.099,
            message="NABIL is at 9.9 % above the previous close",
            partition=1,
            offset=offset,
        )
        return {**alert_record(symbol, made), **changes}

    return make


@pytest.fixture(scope="session")
def market_alert() -> Callable[..., dict[str, Any]]:
    def make(rule: str) -> dict[str, Any]:
        halt = MarketAlert(
            rule=rule,
            event_time=1_719_900_060_000,
            threshold=60.0,
            value=61.0,
            message="the market is silent",
            start=1_719_900_000_000,
        )
        return market_alert_record(halt)

    return make


@pytest.fixture(scope="session")
def outcome(prediction: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def make(symbol: str = "NABIL", offset: int = 0, **changes: object) -> dict[str, Any]:
        made = prediction(symbol, offset)
        return {
            **made,
            "due_time": made["event_time"] + 60_000,
            "realised": "up",
            "realised_price": 501.0,
            "return_bps": 9.99,
            "correct": False,
            "log_loss": 1.204,
            "brier": 0.78,
            **changes,
        }

    return make


class Running:
    """A function of (stop, ...) at work in a thread."""

    def __init__(self, run: Callable[[threading.Event], int]) -> None:
        self._stop = threading.Event()
        self._result: list[int | BaseException] = []
        self._thread = threading.Thread(target=self._work, args=(run,))
        self._thread.start()

    def _work(self, run: Callable[[threading.Event], int]) -> None:
        try:
            self._result.append(run(self._stop))
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self._result.append(error)

    def finish(self) -> int:
        self._stop.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "it did not stop"
        result = self._result[0]
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.fixture
def in_background() -> Callable[..., Any]:
    """Runs a function that takes a stop event; the context ends it and gives its result to `finish`."""

    @contextmanager
    def run(function: Callable[[threading.Event], int]) -> Iterator[Running]:
        running = Running(function)
        try:
            yield running
        finally:
            running.finish()

    return run


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition, for a bounded time."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    return wait


@pytest.fixture(scope="session")
def kill() -> Callable[[Component], None]:
    """Kills a server as the kernel would: without a chance to put anything in order."""

    def kill_now(server: Component) -> None:
        (process,) = server.processes()
        pid = process.pid
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)
        deadline = time.monotonic() + WAIT_S
        while process.pid is not None:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return kill_now
