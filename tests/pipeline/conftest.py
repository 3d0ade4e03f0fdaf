"""A place to run the pipeline to its end: one JVM for all tests, a real broker, a small model."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
import xgboost
import yaml
from kafka import KafkaProducer

from console.kafka_io import connection_config, read_committed
from console.stack.jars import jars
from console.stack.topics import create_topics
from feeds.source import RawMessage
from jobs.settings import PROJECT_ROOT, Settings
from jobs.topics import Topic, topic_name
from jobs.workers.tuning import tune
from state.features import FEATURE_COUNT
from tests.models import write_version
from udfs.artifact import activate
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

    from pyflink.datastream import StreamExecutionEnvironment

    from console.stack.kafka import KafkaBroker

# The workers run in this process.
tune()

MODEL_VERSION = "test-v1"

RESULTS = [topic for topic in Topic if topic not in (Topic.TICKS, Topic.MODELS)]

ENGINE_OPTIONS = ("python.", "pipeline.", "execution.buffer-timeout")
"""What a job takes over from the cluster's configuration; the rest belongs to a cluster's processes."""

DELIVERY_TIMEOUT_S = 60


Log = Iterable[tuple[int, RawMessage]]
Written = dict[tuple[int, int], RawMessage]
Results = dict[Topic, list[dict[str, Any]]]
MakeEnvironment = Callable[[Settings], "StreamExecutionEnvironment"]


@pytest.fixture(scope="package", autouse=True)
def variables_of_workers_stay_here() -> Iterator[None]:
    """PyFlink's workers inside this process put their variables into its environment, and leave them there."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model version that has learnt something from every feature."""
    random = np.random.default_rng(5)
    rows = random.normal(size=(3000, FEATURE_COUNT)).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    labels = np.digitize(np.nansum(rows, axis=1), [-2.0, 2.0])
    booster = xgboost.train(
        {"objective": "multi:softprob", "num_class": len(CLASSES), "max_depth": 5, "nthread": 1, "seed": 1},
        xgboost.DMatrix(rows, labels),
        num_boost_round=30,
    )
    directory = tmp_path_factory.mktemp("models")
    write_version(directory, MODEL_VERSION, booster, len(rows))
    activate(directory, MODEL_VERSION)
    return directory


@pytest.fixture(scope="session")
def make_deployment(broker: KafkaBroker, stack_settings: Settings, model_directory: Path) -> Callable[..., Settings]:
    """Makes settings, with empty topics of their own, for a job that ends where they end.

    On a busy machine partitions and seconds of the market may stay silent for long while nothing is silent: the
    settings are patient, so that the same log always gives the same market snapshots.
    """
    del broker

    def make(partitions: int = 4, parallelism: int = 2, **event_time: object) -> Settings:
        changes: dict[str, dict[str, object]] = {
            "kafka": {"topic_prefix": f"p{uuid.uuid4().hex[:8]}", "partitions": partitions},
            "event_time": {"idle_after_s": 600, **event_time},
            "market": {"out_of_orderness_s": 15, "idle_after_s": 600, "patience_s": 600},
            "model": {"directory": model_directory},
            "flink": {"parallelism": parallelism, "bounded": True},
        }
        sections = {name: getattr(stack_settings, name).model_copy(update=fields) for name, fields in changes.items()}
        settings = stack_settings.model_copy(update=sections)
        create_topics(settings)
        return settings

    return make


@pytest.fixture(scope="session")
def make_environment() -> MakeEnvironment:
    """Makes environments whose jobs run in the JVM beside this process, set up as on the cluster."""
    from pyflink.common import Configuration  # noqa: PLC0415 - takes a second, and only tests that run a job pay
    from pyflink.datastream import StreamExecutionEnvironment  # noqa: PLC0415

    cluster = yaml.safe_load((PROJECT_ROOT / "flink-conf" / "config.yaml").read_text(encoding="utf-8"))

    def make(settings: Settings) -> StreamExecutionEnvironment:
        configuration = Configuration()
        for name, value in cluster.items():
            if name.startswith(ENGINE_OPTIONS):
                configuration.set_string(name, str(value))
        configuration.set_string("pipeline.jars", ";".join(jar.as_uri() for jar in jars("connector")))
        configuration.set_string("pipeline.auto-watermark-interval", "1 ms")
        # What goes wrong here goes wrong again: a test tells why, instead of waiting for the next attempt.
        configuration.set_string("restart-strategy.type", "none")
        env = StreamExecutionEnvironment.get_execution_environment(configuration)
        env.set_parallelism(settings.flink.parallelism)
        env.enable_checkpointing(settings.flink.checkpoint_interval_ms)
        return env

    return make


@pytest.fixture(scope="session")
def run_pipeline(make_environment: MakeEnvironment) -> Callable[[Settings, Log], tuple[Written, Results]]:
    """Writes a log of (partition, message), runs the pipeline over it; gives it by position, and what was committed."""
    from jobs.pipeline import build_pipeline  # noqa: PLC0415 - imports PyFlink

    def run(settings: Settings, log: Log) -> tuple[Written, Results]:
        written = _write(settings, log)
        env = make_environment(settings)
        build_pipeline(env, settings)
        env.execute()
        results = {
            topic: [orjson.loads(record.value) for record in read_committed(settings.kafka, [topic])]
            for topic in RESULTS
        }
        return written, results

    return run


def _write(settings: Settings, log: Log) -> Written:
    topic = topic_name(Topic.TICKS, settings.kafka)
    producer = KafkaProducer(**connection_config(settings.kafka), enable_idempotence=True)
    try:
        deliveries = [
            (sent, partition, producer.send(topic, sent.value, sent.key, None, partition, sent.event_time))
            for partition, sent in log
        ]
        producer.flush(timeout=DELIVERY_TIMEOUT_S)
        return {(partition, delivery.get(timeout=0).offset): sent for sent, partition, delivery in deliveries}
    finally:
        producer.close(timeout=5)
