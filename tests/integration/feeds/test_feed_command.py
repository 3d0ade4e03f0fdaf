"""`tickcast feed` as a user runs it, against a real broker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from websockets.asyncio.server import ServerConnection, serve

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_721_542_500_000
AUCTION_TRADES = 890


@pytest.fixture
def environment(stack_environment: dict[str, str], ticks_topic: str) -> dict[str, str]:
    """Variables that point `tickcast` at a topic of ticks of its own."""
    return os.environ | stack_environment | {"TICKCAST_KAFKA__TOPIC_PREFIX": ticks_topic.removesuffix("-ticks")}


@pytest.fixture
def ticks_topic(kafka_bootstrap_servers: str) -> str:
    """A fresh topic of ticks."""
    name = f"feed-{uuid.uuid4().hex[:12]}-ticks"
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    admin.create_topics([NewTopic(name, num_partitions=4, replication_factor=1)])
    admin.close()
    return name


def tickcast(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "console.main", "feed", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(orjson.loads(done.stdout.splitlines()[-1]))


def test_simulate_sends_the_day_and_everything_that_is_wrong_with_it(environment: dict[str, str]) -> None:
    faults = ("--duplicates", "3", "--late", "2", "--malformed", "7")
    result = result_of(tickcast(environment, "simulate", "--trades", "3000", *faults, "--json"))
    assert (result["sent"], result["delivered"], result["failed"]) == (3010, 3010, 0)
    assert result["last_event_time"] - result["first_event_time"] == pytest.approx(15_240_000, abs=5_000)


def test_replay_sends_the_good_rows_and_names_the_bad_ones(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(f"symbol,price,volume,timestamp\nABC,1,1,{NOON}\nABC,0,1,{NOON}\nABC,2,1,{NOON + 1}\n")
    done = tickcast(environment, "replay", str(path), "--json")
    result = result_of(done)
    assert (result["sent"], result["delivered"], result["bad_rows"]) == (2, 2, 1)
    assert "ticks.csv, line 3: the price is not a number above 0" in done.stderr


def test_replay_scales_the_gaps_by_the_speed(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(f"symbol,price,volume,timestamp\nABC,1,1,{NOON}\nABC,2,1,{NOON + 60_000}\n")
    assert 1.5 <= result_of(tickcast(environment, "replay", str(path), "--speed", "40", "--json"))["seconds"] < 30
    assert result_of(tickcast(environment, "replay", str(path), "--speed", "max", "--json"))["seconds"] < 1.5


def test_without_json_a_table_says_what_was_done(environment: dict[str, str]) -> None:
    done = tickcast(environment, "simulate", "--trades", "100")
    assert done.returncode == 0
    assert "delivered" in done.stdout
    assert "2024-07-21 05:01:00 UTC" in done.stdout


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_feed_reports_what_was_delivered(
    environment: dict[str, str], ticks_topic: str, kafka_bootstrap_servers: str, signum: signal.Signals
) -> None:
    command = [sys.executable, "-m", "console.main", "feed", "simulate", "--speed", "1", "--json"]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        await_records(ticks_topic, kafka_bootstrap_servers, AUCTION_TRADES)
        running.send_signal(signum)
        output, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    result = orjson.loads(output.splitlines()[-1])
    assert result["interrupted"] is True
    assert result["sent"] == result["delivered"] == AUCTION_TRADES, "then the market is silent for a quarter of an hour"
    assert running.returncode == 130


def await_records(topic: str, bootstrap_servers: str, count: int) -> None:
    """Waits until a topic holds so many records, for a minute at most."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    give_up_at = time.monotonic() + 60
    while (found := sum(consumer.end_offsets(partitions).values())) < count:
        assert time.monotonic() < give_up_at, f"{found} records after a minute"
        time.sleep(0.05)
    consumer.close()


def test_websocket_sends_a_live_feed_across_a_dropped_connection(environment: dict[str, str]) -> None:
    async def five_then_gone(connection: ServerConnection) -> None:
        after = 0 if next(connections) == 0 else orjson.loads(await connection.recv())["resume_after"]
        for number in range(after + 1, after + 6):
            tick = {"symbol": "ABC", "price": number, "volume": 1, "timestamp": NOON + number, "trade_id": str(number)}
            await connection.send(orjson.dumps(tick | {"sequence": number}).decode())

    async def run() -> subprocess.CompletedProcess[str]:
        async with serve(five_then_gone, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            return await asyncio.to_thread(tickcast, environment, "websocket", url, "--limit", "12", "--json")

    connections = iter(range(100))
    done = asyncio.run(run())
    result = result_of(done)
    assert (result["sent"], result["delivered"], result["connections"], result["repeated"]) == (12, 12, 3, 0)
    assert len(done.stdout.splitlines()) == 1, "the log goes to standard error"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("simulate", "--speed", "fast"), "the speed is 'fast'; give 'max' or a number above 0"),
        (("simulate", "--date", "tomorrow"), "--date is 'tomorrow'; give a day as YYYY-MM-DD"),
        (("simulate", "--trades", "10", "--late", "9"), "can be late"),
        (("replay", "nowhere.csv"), "nowhere.csv is no file"),
        (("websocket", "http://127.0.0.1/"), "begins with ws:// or wss://"),
        (
            ("websocket", "ws://127.0.0.1/", "--preset", "nasdaq"),
            "there is no preset 'nasdaq'; take one of own, binance",
        ),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_sentence(
    environment: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    done = tickcast(environment, *arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
