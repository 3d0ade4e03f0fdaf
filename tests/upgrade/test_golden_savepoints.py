"""Savepoints of every released state form, restored by the code of now: read to the last trade, or refused."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import json
import time
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from kafka import KafkaProducer

from console.errors import CommandError
from console.job import stop_job, submit_job
from console.kafka_io import connection_config
from console.stack.topics import create_topics
from console.state_form import READABLE
from console.verify import verify_topics
from jobs.settings import Settings
from jobs.topics import Topic, topic_name
from state import codec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from console.stack.flink import FlinkCluster
    from console.stack.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(600)

WAIT_S = 120

_specification = importlib.util.spec_from_file_location("recording", Path(__file__).with_name("recording.py"))
assert _specification is not None
assert _specification.loader is not None
recording: Any = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(recording)

RECORDED = sorted(path for path in recording.SAVEPOINTS.glob("form-*"))


def form_of(savepoint: Path) -> int:
    return int(json.loads((savepoint / "tickcast.json").read_text())["state_version"])


@pytest.fixture
def settings(
    savepoint: Path,
    flink: FlinkCluster,
    broker: KafkaBroker,
    stack_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """The topics of the recording, on the tests' servers, while no other job runs there."""
    del broker
    prefix = recording.PREFIX.format(form=form_of(savepoint))
    recorded = {"TICKCAST_KAFKA__TOPIC_PREFIX": prefix, "TICKCAST_MARKET__LAG_S": recording.MARKET_LAG_S}
    for variable, value in {**stack_environment, **recorded}.items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    create_topics(settings)
    yield settings
    flink.start()
    with contextlib.suppress(CommandError):
        stop_job(settings)


def load(settings: Settings, savepoint: Path) -> None:
    """Writes the recorded messages, each to its partition, in the recorded order."""
    with contextlib.closing(KafkaProducer(**connection_config(settings.kafka))) as producer:
        with gzip.open(savepoint / recording.TOPICS) as lines:
            for line in lines:
                one = orjson.loads(line)
                key, value = (None if one[name] is None else b64decode(one[name]) for name in ("key", "value"))
                topic = topic_name(Topic(one["topic"]), settings.kafka)
                producer.send(topic, value, key, None, one["partition"], one["timestamp"])
        producer.flush(timeout=WAIT_S)


def test_there_is_a_golden_savepoint_of_every_form_that_is_read() -> None:
    if not RECORDED:
        pytest.skip("no golden savepoint is recorded yet: .venv/bin/python tests/upgrade/recording.py")
    assert {form_of(savepoint) for savepoint in RECORDED} >= READABLE
    assert codec.VERSION in READABLE


@pytest.mark.parametrize("savepoint", [path for path in RECORDED if form_of(path) in READABLE], ids=lambda it: it.name)
def test_a_readable_savepoint_goes_on_where_it_was_to_the_last_trade(settings: Settings, savepoint: Path) -> None:
    load(settings, savepoint)
    submit_job(settings, savepoint.as_uri())
    # The last trades before the savepoint once more, which only who remembers them drops; then new ones.
    recording.send(settings, range(592, 800))
    deadline = time.monotonic() + WAIT_S
    while not ((verdict := verify_topics(settings)).clean and verdict.predictions == 800):
        assert time.monotonic() < deadline, verdict.as_json()
        time.sleep(0.5)
    assert verdict.duplicates == 8


@pytest.mark.parametrize("savepoint", [path for path in RECORDED if form_of(path) not in READABLE])
def test_an_unreadable_savepoint_is_refused_in_a_sentence(settings: Settings, savepoint: Path) -> None:
    with pytest.raises(CommandError, match="upgrade through the versions between"):
        submit_job(settings, savepoint.as_uri())
