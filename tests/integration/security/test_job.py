"""The job itself at a broker that demands encryption and a password, and every place where the password may not be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from console.errors import CommandError
from console.job import stop_job, submit_job
from console.kafka_io import connection_config, read_committed
from console.stack.flink import FlinkCluster
from console.stack.ports import free_port, is_loopback
from console.stack.topics import create_topics
from feeds.producer import TickProducer
from jobs.settings import Settings
from jobs.topics import Topic, topic_name
from state.tick import Tick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from console.flink_rest import Job

pytestmark = pytest.mark.timeout(400)

WAIT_S = 120
TICKS = 20
PAGES = (
    "/config",
    "/jobmanager/config",
    "/jobmanager/environment",
    "/jobs/{job}",
    "/jobs/{job}/config",
    "/jobs/{job}/plan",
    "/jobs/{job}/exceptions",
    "/jobs/{job}/checkpoints/config",
    "/jobs/{job}/jobmanager/config",
    "/jobs/{job}/jobmanager/environment",
)
"""What the web UI shows of settings and of the job."""


@pytest.fixture(scope="module")
def settings(
    secured: Settings, secret: str, stack_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """What the environment says while these tests run: a broker that demands a password, and a cluster of their own."""
    variables = {
        **stack_environment,
        "TICKCAST_STACK__HOME": str(tmp_path_factory.mktemp("cluster")),
        "TICKCAST_FLINK__REST_ADDRESS": f"http://127.0.0.1:{free_port()}",
        "TICKCAST_FLINK__PARALLELISM": "1",
        "TICKCAST_KAFKA__BOOTSTRAP_SERVERS": secured.kafka.bootstrap_servers,
        "TICKCAST_KAFKA__TOPIC_PREFIX": "guarded-job",
        "TICKCAST_KAFKA__SECURITY_PROTOCOL": secured.kafka.security_protocol,
        "TICKCAST_KAFKA__SASL_USERNAME": secured.kafka.sasl_username,
        "TICKCAST_KAFKA__SASL_PASSWORD": secret,
        "TICKCAST_KAFKA__SSL_CA_FILE": secured.kafka.ssl_ca_file,
    }
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        settings = Settings()
        create_topics(settings)
        yield settings


@pytest.fixture(scope="module")
def cluster(settings: Settings) -> Iterator[FlinkCluster]:
    """A cluster whose processes have the password in their environment."""
    server = FlinkCluster(settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def job(cluster: FlinkCluster, settings: Settings) -> Iterator[Job]:
    """The running job."""
    del cluster
    yield submit_job(settings)
    stop_job(settings)


def pages(settings: Settings, job: Job) -> dict[str, str]:
    """What Flink's web UI tells."""
    address = settings.flink.rest_address

    def get(path: str) -> Any:
        answer = requests.get(address + path, timeout=10)
        answer.raise_for_status()
        return answer

    managers = [manager["id"] for manager in get("/taskmanagers").json()["taskmanagers"]]
    paths = [page.format(job=job.id) for page in PAGES]
    for place in ("/jobmanager", *(f"/taskmanagers/{manager}" for manager in managers)):
        paths += [f"{place}/logs/{log['name']}" for log in get(f"{place}/logs").json()["logs"]]
    paths += [f"/taskmanagers/{manager}" for manager in managers]
    return {path: get(path).text for path in paths}


def files_with(text: str, folder: Path) -> list[Path]:
    """Files in a folder that hold a text, whatever else they hold."""
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


def test_a_job_that_could_not_log_on_is_not_submitted(
    cluster: FlinkCluster, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cluster
    monkeypatch.setattr("console.kafka_io.CONNECT_TIMEOUT_S", 2)
    wrong = settings.kafka.model_copy(update={"sasl_username": "nobody"})
    with pytest.raises(CommandError, match=r"password or mechanism for SASL|SASL_PASSWORD"):
        submit_job(settings.model_copy(update={"kafka": wrong}))


def test_the_job_reads_and_writes_where_the_broker_demands_encryption_and_a_password(
    job: Job, settings: Settings
) -> None:
    del job
    now = int(time.time() * 1000)
    with TickProducer(connection_config(settings.kafka), topic_name(Topic.TICKS, settings.kafka)) as producer:
        for number in range(TICKS):
            producer.send(Tick("NABIL", 500.0 + number % 3, 10, now + number, f"of the job {number}"))
    deadline = time.monotonic() + WAIT_S
    while len(list(read_committed(settings.kafka, [Topic.PREDICTIONS]))) < TICKS:
        assert time.monotonic() < deadline, "the predictions did not come"
        time.sleep(0.5)


def test_the_password_is_in_no_log_no_file_and_on_no_page_of_a_run(job: Job, settings: Settings, secret: str) -> None:
    told = pages(settings, job)
    # The search would find it: what stands beside the password in the settings is there.
    assert any(settings.kafka.topic_prefix in text for text in told.values())
    assert files_with("SASL_SSL", settings.home / "logs")

    assert [path for path, text in told.items() if secret in text] == []
    assert files_with(secret, settings.home) == []


def test_the_password_is_in_no_command_line(job: Job, secret: str) -> None:
    del job
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("taskmanager" in line for line in lines)
    assert not any(secret in line for line in lines)


def test_only_the_bridge_to_the_python_workers_listens_beyond_loopback(job: Job, cluster: FlinkCluster) -> None:
    """Beam, through which PyFlink reaches its workers, binds the ports of its bridge to no address."""
    del job
    managers = {process.name: psutil.Process(process.pid) for process in cluster.processes()}
    workers = managers["taskmanager"].children(recursive=True)
    assert workers, "the job has no Python worker"
    beyond = {
        process.pid
        for process in (*managers.values(), *workers)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and not is_loopback(connection.laddr[0].removeprefix("::ffff:"))
    }
    assert beyond <= {managers["taskmanager"].pid}


def test_nobody_can_submit_or_cancel_a_job_in_the_browser(job: Job, settings: Settings) -> None:
    del job
    address = settings.flink.rest_address
    features = requests.get(f"{address}/config", timeout=10).json()["features"]
    assert features["web-submit"] is False
    assert features["web-cancel"] is False
    jar = {"jarfile": ("any.jar", b"PK", "application/x-java-archive")}
    assert not requests.post(f"{address}/jars/upload", files=jar, timeout=10).ok
    assert not requests.get(f"{address}/jars", timeout=10).ok
