from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from jobs.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., dict[str, Any]]
    Wait = Callable[[Callable[[], bool]], None]
    Start = Callable[..., subprocess.Popen[str]]


def shown(tickcast: Start, *arguments: str) -> list[str]:
    process = tickcast("tail", *arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output.splitlines()


def test_only_committed_messages_are_shown_as_they_are_stored(tickcast: Start, producer: Any, prediction: Make) -> None:
    producer.begin()
    producer.send(Topic.PREDICTIONS, prediction(offset=1))
    producer.abort()
    stored = [prediction(offset=offset) for offset in (2, 3)]
    producer.write(Topic.PREDICTIONS, *stored)
    producer.begin()
    producer.send(Topic.PREDICTIONS, prediction(offset=4))
    lines = shown(tickcast, "predictions", "--json", "--from-beginning", "--until-end")
    assert lines == [orjson.dumps(message).decode() for message in stored]


def test_symbol_and_limit_choose_what_is_shown(tickcast: Start, producer: Any, bar: Make) -> None:
    producer.write(Topic.BARS, *[bar(symbol, offset) for offset in range(4) for symbol in ("NABIL", "HDL")])
    lines = shown(tickcast, "bars", "--json", "--from-beginning", "--symbol", "HDL", "--limit", "3")
    assert [(json.loads(line)["symbol"], json.loads(line)["source"]["offset"]) for line in lines] == [
        ("HDL", 0),
        ("HDL", 1),
        ("HDL", 2),
    ]


@pytest.mark.parametrize("topic", [Topic.PREDICTIONS, Topic.BARS, Topic.ALERTS, Topic.OUTCOMES])
def test_people_see_a_line_with_symbol_and_time(
    topic: Topic, tickcast: Start, producer: Any, prediction: Make, bar: Make, alert: Make, outcome: Make
) -> None:
    make = {Topic.PREDICTIONS: prediction, Topic.BARS: bar, Topic.ALERTS: alert, Topic.OUTCOMES: outcome}[topic]
    producer.write(topic, make("NABIL", 0))
    (line,) = shown(tickcast, topic.value, "--from-beginning", "--until-end")
    assert line.startswith("2024-07-02 06:00:00.000Z  NABIL ")


def test_without_from_beginning_only_what_comes_later_is_shown(
    tickcast: Start, producer: Any, prediction: Make, eventually: Wait
) -> None:
    producer.write(Topic.PREDICTIONS, prediction(offset=1))
    assert shown(tickcast, "predictions", "--json", "--until-end") == []
    process = tickcast("tail", "predictions", "--json", "--limit", "1")

    def ended_by_a_later_message() -> bool:
        producer.write(Topic.PREDICTIONS, prediction(offset=2))
        return process.poll() is not None

    eventually(ended_by_a_later_message)
    output, _ = process.communicate()
    assert json.loads(output)["source"]["offset"] == 2


def test_ctrl_c_ends_it_with_exit_code_0(tickcast: Start, producer: Any, prediction: Make) -> None:
    producer.write(Topic.PREDICTIONS, prediction(offset=1))
    process = tickcast("tail", "predictions", "--json", "--from-beginning")
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (0, "")


def test_a_reader_that_has_seen_enough_ends_it_without_a_complaint(
    environment: dict[str, str], producer: Any, prediction: Make
) -> None:
    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(3000)])
    command = f"{sys.executable} -m console.main tail predictions --json --from-beginning --until-end | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_a_topic_without_symbols_can_not_be_searched_for_one(tickcast: Start) -> None:
    process = tickcast("tail", "dead-letters", "--symbol", "NABIL")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "no symbol" in errors
