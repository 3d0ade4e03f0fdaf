"""New processes rehearse before the market opens, and nothing of it stays."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from console.flink_rest import FlinkRest
from console.kafka_io import open_admin
from console.rehearsal import rehearse
from jobs.settings import Settings

if TYPE_CHECKING:
    from console.stack.flink import FlinkCluster
    from console.stack.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def settings(
    flink: FlinkCluster, broker: KafkaBroker, stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A stack whose job does not run, and without topics."""
    del broker
    flink.start()
    for variable, value in {**stack_environment, "TICKCAST_KAFKA__TOPIC_PREFIX": f"e{uuid.uuid4().hex[:8]}"}.items():
        monkeypatch.setenv(variable, value)
    return Settings()


def test_a_rehearsal_puts_trades_through_the_whole_job_and_leaves_neither_topic_nor_group(settings: Settings) -> None:
    rehearse(settings)

    rest, prefix = FlinkRest(settings.flink.rest_address), settings.kafka.topic_prefix
    [job] = [job for job in rest.jobs() if job.name == "tickcast rehearsal"]
    assert job.state == "FINISHED"
    read = {one["name"]: one["metrics"]["read-records"] for one in rest._get(f"/jobs/{job.id}")["vertices"]}
    [trades] = [count for name, count in read.items() if "symbol memory" in name]
    assert trades >= 5_000
    with closing(open_admin(settings.kafka)) as admin:
        assert not [topic for topic in admin.list_topics() if topic.startswith(prefix)]
        assert not [group for group in admin.list_groups() if prefix in str(group)]
