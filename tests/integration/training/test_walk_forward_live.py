"""From the ticks in Kafka to a candidate, and from its outcomes to its promotion."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from console import model_control
from console.errors import CommandError
from console.kafka_io import connection_config, read_committed
from console.ticks_topic import TopicTicks
from feeds.producer import TickProducer
from feeds.source import RawMessage
from jobs.topics import Topic, topic_name
from state.rules import load_rules
from state.tick import Tick

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from jobs.settings import Settings

    Run = Callable[..., subprocess.CompletedProcess[str]]

FIRST_OPEN = datetime(2024, 7, 7, 5, 15, tzinfo=UTC)  # 11:00 in Kathmandu
CANDIDATE = "t-2024-07-10"

pytestmark = pytest.mark.timeout(900)  # ten commands one after another, each of which imports for seconds


def ticks_of_day(number: int, trades: int = 1200) -> list[Tick]:
    random = np.random.default_rng(number)
    start = int((FIRST_OPEN + timedelta(days=number)).timestamp() * 1000)
    times = np.sort(random.integers(0, 4 * 3600 * 1000, trades))
    prices = 500 + random.choice([-0.1, 0.0, 0.1], trades).cumsum().round(1)
    return [
        Tick(f"SYM{i % 7}", float(prices[i]), 10 * (1 + i % 5), start + int(times[i]), str(i)) for i in range(trades)
    ]


def send(settings: Settings, ticks: Iterable[Tick | RawMessage]) -> None:
    with TickProducer(connection_config(settings.kafka), topic_name(Topic.TICKS, settings.kafka)) as producer:
        for tick in ticks:
            if isinstance(tick, Tick):
                producer.send(tick)
            else:
                producer.send_raw(tick)


def write_outcomes(settings: Settings, candidate: str, gain: float, trades: int = 600) -> None:
    """Outcomes of both versions of trades half a minute apart."""
    with TickProducer(connection_config(settings.kafka), topic_name(Topic.OUTCOMES, settings.kafka)) as producer:
        for number in range(trades):
            shared = {"event_time": number * 30_000, "source": {"partition": 0, "offset": number}}
            rows = [("active", "v1", 1.0), ("shadow", candidate, 1.0 - gain + 0.1 * (-1) ** number)]
            for role, version, log_loss in rows:
                row = shared | {"role": role, "model_version": version, "log_loss": log_loss}
                producer.send_raw(RawMessage(b"NABIL", orjson.dumps(row), number * 30_000))


def commands(settings: Settings) -> list[tuple[str, dict[str, Any]]]:
    return [
        (record.key.decode(), orjson.loads(record.value)) for record in read_committed(settings.kafka, [Topic.MODELS])
    ]


def last_object(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    parsed: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return parsed


def topic_ticks(settings: Settings) -> TopicTicks:
    return TopicTicks(settings.kafka, load_rules(settings.market.rules_file), 15_000)


def test_the_topic_gives_every_tick_in_an_order_of_arrival(settings: Settings) -> None:
    sent = ticks_of_day(0) + ticks_of_day(1)
    send(settings, sent)
    read = list(topic_ticks(settings))
    assert sorted(read, key=lambda tick: (tick.event_time, tick.symbol)) == sorted(
        sent, key=lambda tick: (tick.event_time, tick.symbol)
    )
    times = [tick.event_time for tick in read]
    assert times == sorted(times)


def test_what_is_no_tick_is_counted_and_what_is_late_is_left_out(settings: Settings) -> None:
    start = int(FIRST_OPEN.timestamp() * 1000)
    on_time = [Tick("NABIL", 500.0, 10, start), Tick("NABIL", 501.0, 10, start + 60_000)]
    just_in_time, late = (Tick("NABIL", 502.0, 10, start + 60_000 - behind) for behind in (14_999, 15_000))
    bad = RawMessage(b"NABIL", b'{"symbol": "NABIL"}', start)
    send(settings, [*on_time, bad, just_in_time, late])
    ticks = topic_ticks(settings)
    assert list(ticks) == [*on_time, just_in_time]
    (row,) = ticks.bad_rows
    assert row.line == 2
    assert "price" in row.reason


def test_a_candidate_is_trained_on_the_days_since_the_active_version_and_promoted_when_it_is_better(
    settings: Settings, tickcast: Run
) -> None:
    send(settings, (tick for number in range(3) for tick in ticks_of_day(number)))
    first = tickcast("train", "--version", "v1", "--from-kafka", "--rounds", "3", "--activate", "--exclude-day",
                     "2024-07-08", "--json")  # fmt: skip
    assert last_object(first)["version"] == "v1"
    nothing_new = tickcast("train", "--since-last", "--from-kafka", "--rounds", "3")
    assert nothing_new.returncode == 1
    assert "there is no trade after 2024-07-09, the last day that v1 has seen" in nothing_new.stderr

    send(settings, ticks_of_day(3))
    version = last_object(tickcast("train", "--since-last", "--from-kafka", "--rounds", "3", "--json"))["version"]
    assert version == f"{settings.kafka.topic_prefix}-2024-07-10"
    window = last_object(tickcast("model", "show", version, "--json"))["training_window"]
    # The day that v1 left out is left out again.
    assert (*window["fit_days"], *window["tuning_days"]) == ("2024-07-07", "2024-07-09", "2024-07-10")

    last_object(tickcast("model", "shadow", version, "--json"))
    too_few = tickcast("model", "promote", version, "--if-better", "--over", "600")
    assert too_few.returncode == 1
    assert "0 predictions were scored by both" in too_few.stderr

    write_outcomes(settings, version, gain=0.05)
    promoted = last_object(tickcast("model", "promote", version, "--if-better", "--over", "600", "--json"))
    assert (promoted["active"], promoted["predictions"]) == ("v1", 600)
    assert promoted["gain"] == pytest.approx(0.05)
    last_object(tickcast("model", "shadow", version, "--off", "--json"))
    assert [(key, command["action"], command["version"]) for key, command in commands(settings)] == [
        ("shadow", "shadow", version),
        ("promote", "promote", version),
        ("unshadow", "unshadow", version),
    ]


def test_a_candidate_that_is_no_better_and_a_version_that_cannot_score_are_not_promoted(
    settings: Settings, tickcast: Run, tmp_path: Path
) -> None:
    trades = tmp_path / "trades.csv"
    rows = (f"{t.symbol},{t.price},{t.volume},{t.event_time}" for day in range(2) for t in ticks_of_day(day))
    trades.write_text("\n".join(["symbol,price,volume,timestamp", *rows, ""]))
    last_object(tickcast("train", "--version", CANDIDATE, "--rounds", "2", "--json", "--data", trades))
    write_outcomes(settings, CANDIDATE, gain=-0.01)
    for arguments, sentence in [
        ((CANDIDATE, "--if-better", "--over", "600"), "over 600 predictions its log loss is +0.01000 against"),
        (("nowhere",), "there is no model version 'nowhere'"),
        ((CANDIDATE, "--over", "600"), "add --if-better"),
    ]:
        refused = tickcast("model", "promote", *arguments)
        assert refused.returncode == 1
        assert sentence in refused.stderr
        assert "Traceback" not in refused.stderr
    (settings.model.directory / CANDIDATE / "model.ubj").write_bytes(b"no trees")
    refused = tickcast("model", "shadow", CANDIDATE)
    assert (refused.returncode, "sha256 differs" in refused.stderr) == (1, True)
    assert commands(settings) == []


def test_a_command_says_when_it_was_given(settings: Settings) -> None:
    before = datetime.now(UTC).timestamp() * 1000
    model_control.publish(settings, "promote", "v1")
    ((_, command),) = commands(settings)
    assert before - 1 <= command["issued_at"] <= datetime.now(UTC).timestamp() * 1000


def test_a_command_to_a_topic_that_is_not_there_is_refused(settings: Settings) -> None:
    kafka = settings.kafka.model_copy(update={"topic_prefix": "nothing-of-that-name"})
    with pytest.raises(CommandError, match="does not exist"):
        model_control.publish(settings.model_copy(update={"kafka": kafka}), "promote", "v1")
