from __future__ import annotations

import random
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis

from benchmarks.latency import written_at
from console.errors import CommandError
from console.view import run_view
from jobs.topics import Topic

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from console.stack.component import Component
    from console.stack.redis import RedisServer
    from jobs.settings import Settings

    Make = Callable[..., dict[str, Any]]
    Wait = Callable[[Callable[[], bool]], None]
    Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def client(settings: Settings) -> Iterator[Any]:
    with redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True) as opened:
        yield opened


def show(settings: Settings) -> int:
    """Brings the view up to date with the topics."""
    return run_view(settings, threading.Event(), until_end=True)


def latest(client: Any, symbol: str = "NABIL") -> dict[str, str]:
    return client.hgetall(f"tickcast:latest:{symbol}")


def test_prediction_price_and_bars_of_a_symbol_stand_in_one_hash(
    settings: Settings, client: Any, producer: Any, prediction: Make, bar: Make
) -> None:
    producer.write(Topic.PREDICTIONS, prediction(offset=7, price=512.3))
    producer.write(Topic.BARS, bar(offset=5), bar(offset=6, interval="5m", close=510.0))
    assert show(settings) == 3
    shown = latest(client)
    assert float(shown["price"]) == 512.3
    assert shown["trade_id"] == "2024070200000007"
    assert (shown["source_partition"], shown["source_offset"]) == ("1", "7")
    assert float(shown["bar_1m_close"]) == 501.0
    assert float(shown["bar_5m_close"]) == 510.0
    assert shown["bar_5m_source_offset"] == "6"


def test_what_a_message_leaves_open_is_an_empty_string(
    settings: Settings, client: Any, producer: Any, prediction: Make
) -> None:
    producer.write(Topic.PREDICTIONS, prediction(offset=1), prediction(offset=2, trade_id=None, market_time=None))
    show(settings)
    assert latest(client)["trade_id"] == ""
    assert latest(client)["market_time"] == ""


@pytest.mark.parametrize("records_a_run", [1, 1000], ids=["one by one", "in one batch"])
def test_the_newest_prediction_stays_in_whatever_order_they_are_written(
    settings: Settings, client: Any, producer: Any, prediction: Make, records_a_run: int
) -> None:
    made = [prediction(offset=offset, event_time=1000 + offset // 2, price=100.0 + offset) for offset in range(8)]
    random.Random(records_a_run).shuffle(made)  # noqa: S311 - a repeatable order
    made.remove(newest := max(made, key=lambda message: message["source"]["offset"]))
    made.insert(3, newest)
    for start in range(0, len(made), records_a_run):
        producer.write(Topic.PREDICTIONS, *made[start : start + records_a_run])
        show(settings)
    assert latest(client)["source_offset"] == "7"
    assert float(latest(client)["price"]) == 107.0


def test_an_older_bar_never_replaces_a_newer_one_of_its_interval(
    settings: Settings, client: Any, producer: Any, bar: Make
) -> None:
    producer.write(Topic.BARS, bar(offset=9, close=9.0), bar(offset=2, interval="5m", close=2.0))
    show(settings)
    producer.write(Topic.BARS, bar(offset=3, close=3.0), bar(offset=4, interval="5m", close=4.0))
    show(settings)
    assert float(latest(client)["bar_1m_close"]) == 9.0
    assert float(latest(client)["bar_5m_close"]) == 4.0


def test_a_replay_leaves_the_same_hash(
    settings: Settings, client: Any, producer: Any, prediction: Make, bar: Make
) -> None:
    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(20)])
    producer.write(Topic.BARS, *[bar(offset=offset) for offset in range(4)])
    show(settings)
    before = latest(client)
    client.delete("tickcast:view")  # the sign that all has to be read again
    assert show(settings) == 24
    assert latest(client) == before


def test_a_prediction_shows_before_its_commit_and_its_second_form_replaces_a_rolled_back_one(
    settings: Settings, client: Any, producer: Any, prediction: Make
) -> None:
    producer.begin()
    producer.send(Topic.PREDICTIONS, prediction(offset=4, price=100.0))
    show(settings)
    assert float(latest(client)["price"]) == 100.0
    producer.abort()
    producer.write(Topic.PREDICTIONS, prediction(offset=4, price=101.0))
    show(settings)
    assert float(latest(client)["price"]) == 101.0


def test_a_shadow_model_is_not_shown(settings: Settings, client: Any, producer: Any, prediction: Make) -> None:
    producer.write(Topic.PREDICTIONS, prediction(offset=1), prediction(offset=2, role="shadow"))
    show(settings)
    assert latest(client)["source_offset"] == "1"
    assert client.xlen("tickcast:predictions") == 1


def test_the_stream_has_every_prediction_and_is_bounded(
    settings: Settings, client: Any, producer: Any, prediction: Make
) -> None:
    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(50)])
    show(settings)
    entries = client.xrange("tickcast:predictions")
    assert sorted(int(fields["source_offset"]) for _, fields in entries) == list(range(50))
    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(50, 2000)])
    show(settings)
    length = settings.redis.stream_length
    assert length <= client.xlen("tickcast:predictions") <= length + 200
    assert client.hget("tickcast:view", "predictions") == "2000"


def test_a_message_without_the_form_of_its_topic_is_left_out_and_named(
    settings: Settings, client: Any, producer: Any, prediction: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    producer.write(Topic.PREDICTIONS, b"\xff no JSON", b"[]", {"symbol": "NABIL"}, prediction(offset=5, colour="red"))
    show(settings)
    assert latest(client)["source_offset"] == "5"
    assert "colour" not in latest(client)
    assert capfd.readouterr().out.count("message left out") == 3


def test_a_killed_redis_is_waited_for_and_nothing_is_skipped(
    settings: Settings,
    client: Any,
    producer: Any,
    prediction: Make,
    redis_server: RedisServer,
    kill: Callable[[Component], None],
    in_background: Callable[..., Any],
    eventually: Wait,
) -> None:
    with in_background(lambda stop: run_view(settings, stop)):
        producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(10)])
        eventually(lambda: client.hget("tickcast:view", "predictions") == "10")
        kill(redis_server)
        producer.write(Topic.PREDICTIONS, *[prediction("NICA", offset=offset) for offset in range(10, 20)])
        producer.write(Topic.PREDICTIONS, *[prediction("HDL", offset=offset) for offset in range(20, 30)])
        redis_server.start()
        eventually(lambda: client.xlen("tickcast:predictions") >= 30)
    entries = client.xrange("tickcast:predictions")
    assert {int(fields["source_offset"]) for _, fields in entries} == set(range(30))
    assert [latest(client, symbol)["source_offset"] for symbol in ("NABIL", "NICA", "HDL")] == ["9", "19", "29"]


def test_a_redis_that_comes_back_empty_is_filled_from_the_beginning(
    settings: Settings, client: Any, producer: Any, prediction: Make
) -> None:
    producer.write(Topic.PREDICTIONS, prediction("NABIL", 1), prediction("NICA", 2))
    show(settings)
    client.flushall()
    producer.write(Topic.PREDICTIONS, prediction("HDL", 3))
    show(settings)
    assert [latest(client, symbol)["source_offset"] for symbol in ("NABIL", "NICA", "HDL")] == ["1", "2", "3"]


def test_a_restart_goes_on_where_the_last_run_ended(settings: Settings, producer: Any, prediction: Make) -> None:
    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(30)])
    assert show(settings) == 30
    producer.write(Topic.PREDICTIONS, prediction(offset=30))
    assert show(settings) == 1


def test_sigterm_ends_the_view_with_exit_code_0_and_its_work_committed(
    settings: Settings, client: Any, producer: Any, prediction: Make, tickcast: Start, eventually: Wait
) -> None:
    process = tickcast("view")
    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(30)])
    eventually(lambda: client.hget("tickcast:view", "predictions") == "30")
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=15)
    assert process.returncode == 0
    assert '"stopped"' in log
    assert show(settings) == 0


def test_a_wrong_password_is_said_in_one_sentence_without_it(settings: Settings, redis_server: RedisServer) -> None:
    wrong = redis_server.address.replace("//", "//user:hush-hush@")
    refused = settings.model_copy(
        update={"redis": settings.redis.model_copy(update={"url": type(settings.redis.url)(wrong)})}
    )
    with pytest.raises(CommandError, match="TICKCAST_REDIS__URL") as refusal:
        show(refused)
    assert "hush-hush" not in str(refusal.value)


def test_a_missing_topic_is_said_in_one_sentence(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"topic_prefix": "nowhere"})})
    with pytest.raises(CommandError, match="nowhere-predictions does not exist"):
        show(elsewhere)


def test_a_benchmark_does_not_take_the_predictions_of_a_load_before_for_its_own(
    settings: Settings, client: Any
) -> None:
    for written_ms in (1_000, 2_000, 2_500):
        client.xadd("tickcast:predictions", {"trade_id": "2024070200000007"}, id=f"{written_ms}-0")
    assert written_at(settings, since=0.0) == {7: 1.0}
    assert written_at(settings, since=1.5) == {7: 2.0}
