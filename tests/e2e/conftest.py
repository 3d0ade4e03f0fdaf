"""The job itself on a real cluster, with a real broker."""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
import pytest
from kafka import KafkaProducer

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.job import stop_job, submit_job
from console.kafka_io import connection_config, read_committed
from console.stack.topics import create_topics
from console.verify import verify_topics
from jobs.settings import Settings
from jobs.topics import MAX_MESSAGE_BYTES, Topic, topic_name
from state.tick import Tick, encode_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from console.flink_rest import Job
    from console.stack.flink import FlinkCluster
    from console.stack.kafka import KafkaBroker
    from console.verdict import Verdict

WAIT_S = 120
_POLL_S = 0.1
_MEANWHILE_S = 1.0

Json = dict[str, Any]


@dataclass
class JobOnTrial:
    """The running job, the way in and the way out."""

    settings: Settings
    producer: KafkaProducer
    job: Job

    def send(self, value: bytes | None, key: bytes | None, record_time: int | None = None, partition: int = 0) -> int:
        """Write a message to a partition and return its offset."""
        delivery = self.producer.send(
            topic_name(Topic.TICKS, self.settings.kafka), value, key, None, partition, record_time or now()
        )
        offset: int = delivery.get(timeout=WAIT_S).offset
        return offset

    def tick(self, symbol: str, trade_id: str, price: float = 500.0, ahead_ms: int = 0) -> int:
        """Write a trade of this moment and return its offset."""
        moment = now() + ahead_ms
        return self.send(encode_tick(Tick(symbol, price, 10, moment, trade_id)), symbol.encode(), moment)

    def committed(self, topic: Topic) -> list[Json]:
        """What is committed to a topic by now."""
        return [orjson.loads(record.value) for record in read_committed(self.settings.kafka, [topic])]

    def await_committed(self, topic: Topic, count: int) -> list[Json]:
        """What is committed to a topic, once there is at least so much of it or the time is up."""
        deadline = time.monotonic() + WAIT_S
        while len(messages := self.committed(topic)) < count and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return messages

    def await_clean_verdict(self) -> Verdict:
        """What `tickcast verify` says; while the job writes, one topic may be committed a moment before another."""
        deadline = time.monotonic() + WAIT_S
        while not (verdict := verify_topics(self.settings)).clean:
            assert time.monotonic() < deadline, verdict.as_json()
            time.sleep(_POLL_S)
        return verdict

    def await_watermark(self, moment: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until the watermark of the symbols' memory has passed a moment (epoch ms) in every subtask.

        Args:
            moment: The moment.
            meanwhile: Called once a second while it has not. Where all partitions fall idle at the same time, no
                watermark comes before another message does.
        """
        memory = self._symbols()
        deadline = time.monotonic() + WAIT_S
        while not (told := self._watermarks(memory)) or min(told) < moment:
            assert time.monotonic() < deadline, told
            meanwhile()
            time.sleep(_MEANWHILE_S)

    def _watermarks(self, vertex: str) -> list[int]:
        """Watermark of each subtask that has told one."""
        return [int(one["value"]) for one in self.rest._get(f"{vertex}/watermarks")]

    def counted(self, metric: str) -> int:
        """What a counter of the symbols' function has come to in Flink, over all subtasks."""
        metrics = f"{self._symbols()}/metrics"
        counters = [one["id"] for one in self.rest._get(metrics) if one["id"].endswith(f".{metric}")]
        if not counters:
            return 0
        told = self.rest._get(f"{metrics}?get={','.join(quote(one) for one in counters)}")
        return sum(int(one["value"]) for one in told)

    def _symbols(self) -> str:
        """Where the REST interface tells of the symbols' function."""
        job = f"/jobs/{self.job.id}"
        [memory] = [one["id"] for one in self.rest._get(job)["vertices"] if "symbol memory" in one["name"]]
        return f"{job}/vertices/{memory}"

    @property
    def rest(self) -> FlinkRest:
        """The cluster's REST interface."""
        return FlinkRest(self.settings.flink.rest_address)


def now() -> int:
    """This machine's clock, epoch ms."""
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def job_variables() -> dict[str, str]:
    """Settings of the job's that a module wants to be others than the defaults."""
    return {}


@pytest.fixture(scope="module")
def job(
    flink: FlinkCluster, broker: KafkaBroker, stack_environment: dict[str, str], job_variables: dict[str, str]
) -> Iterator[JobOnTrial]:
    """The job with empty topics of its own."""
    del broker
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        topics = {"TICKCAST_KAFKA__TOPIC_PREFIX": f"e{uuid.uuid4().hex[:8]}"}
        for variable, value in {**stack_environment, **topics, **job_variables}.items():
            patch.setenv(variable, value)
        settings = Settings()
        create_topics(settings)
        # Idempotent, it would send nothing more once the broker has refused a message.
        options = {"acks": "all", "enable_idempotence": False, "max_request_size": MAX_MESSAGE_BYTES}
        producer = KafkaProducer(**connection_config(settings.kafka), **options)
        stack.callback(producer.close, timeout=5)
        yield JobOnTrial(settings, producer, submit_job(settings))
        flink.start()
        with contextlib.suppress(CommandError):
            stop_job(settings)
