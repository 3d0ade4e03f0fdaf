"""The embedded Kafka broker: one node that is broker and controller at once."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from kafka.errors import KafkaError

from console.errors import CommandError
from console.kafka_io import open_admin, unreachable
from console.stack.class_data import ClassData, JavaProcess
from console.stack.component import Component, Health, Port
from console.stack.jars import jars
from console.stack.java import java_home
from console.stack.ports import answers, free_port
from jobs.topics import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from console.stack.process import DetachedProcess
    from jobs.settings import KafkaSettings

_START_TIMEOUT_S = 60
_FORMAT_TIMEOUT_S = 60
_ANSWER_TIMEOUT_S = 5
_FORMAT = "kafka-format"
_HEAP = ("-Xms256m", "-Xmx512m")
_LOG4J = Path(__file__).with_name("kafka-log4j2.properties")


class KafkaBroker(Component):
    """A KRaft broker on loopback, out of the jars of the Kafka distribution."""

    name = "kafka"

    def __init__(self, home: Path, kafka: KafkaSettings) -> None:
        self.address = kafka.bootstrap_servers
        self._kafka = kafka
        host, _, port = kafka.bootstrap_servers.rpartition(":")
        self._port = Port(host, int(port), "TICKCAST_KAFKA__BOOTSTRAP_SERVERS")
        self._data = home / "kafka"
        self._properties = home / "run" / "kafka.properties"
        self._process = JavaProcess(home, self.name)
        self._class_data = ClassData(home)

    def processes(self) -> list[DetachedProcess]:
        """The broker's process."""
        return [self._process]

    def ports(self) -> list[Port]:
        """The port that clients connect to."""
        return [self._port]

    def start(self) -> None:
        """Start the broker, formatting its storage the first time."""
        if self._process.pid is None:
            self._write_properties()
            if not (self._data / "meta.properties").exists():
                self._format()
            self._process.spawn(self._java("kafka.Kafka", self._properties))
        self._process.wait_until_healthy(self.healthy, _START_TIMEOUT_S)

    def healthy(self) -> Health:
        """Whether the broker tells who leads the cluster."""
        if self._process.pid is None:
            return Health(healthy=False, detail="not running; start it with `tickcast up`")
        if not answers(self._port.host, self._port.number):
            return Health(healthy=False, detail="running, but not listening yet")
        return broker_health(self._kafka)

    def _write_properties(self) -> None:
        host, port = self._port.host, self._port.number
        controller = free_port()
        properties = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{host}:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._data,
            # There is one node to keep the only copy.
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # The default of 50 partitions each costs seconds at the first start and at every recovery.
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.num.partitions": 4,
            # The ceiling of what a sink may ask for, and what `flink.transaction_timeout_ms` does ask for.
            "transaction.max.timeout.ms": 900_000,
            # A sink's transactions have new names at every checkpoint, day and night: twelve a second, which the broker
            # would keep in memory for a week. Open transactions are not forgotten.
            "transactional.id.expiration.ms": 3_600_000,
            # A wrong topic name is an error, not a new topic.
            "auto.create.topics.enable": "false",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            # A broker that was killed may come back this long after its last sign of life.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
            # One reader per group: there is nobody to wait for.
            "group.initial.rebalance.delay.ms": 0,
        }
        self._properties.parent.mkdir(parents=True, exist_ok=True)
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8")

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ("format", f"--cluster-id={cluster_id}", f"--config={self._properties}", "--ignore-formatted")
        command = self._class_data.used_by(_FORMAT, self._java("kafka.tools.StorageTool", *arguments))
        answer = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
        self._class_data.keep(_FORMAT, useful=not answer.returncode)
        if answer.returncode:
            raise CommandError(
                f"the broker's storage in {self._data} could not be prepared; `tickcast down --purge` gives a fresh"
                f" start: {(answer.stderr or answer.stdout).strip().splitlines()[-1:]}"
            )

    def _java(self, main_class: str, *arguments: str | Path) -> list[str | Path]:
        classpath = ":".join(str(jar) for jar in jars("broker"))
        return [
            java_home() / "bin" / "java",
            *_HEAP,
            f"-Dlog4j2.configurationFile={_LOG4J}",
            # The compression libraries unpack themselves there; a killed broker must not leave them in /tmp.
            f"-Djava.io.tmpdir={self._properties.parent}",
            "-cp",
            classpath,
            main_class,
            *arguments,
        ]


def broker_health(kafka: KafkaSettings) -> Health:
    """What the brokers say about themselves, wherever they run."""
    try:
        admin = open_admin(kafka, request_timeout_s=_ANSWER_TIMEOUT_S)
    except CommandError as error:
        return Health(healthy=False, detail=str(error))
    try:
        brokers = len(admin.describe_cluster()["brokers"])
    except (KafkaError, OSError) as error:  # it died between the two questions
        return Health(healthy=False, detail=str(unreachable(kafka, error)))
    finally:
        admin.close()
    return Health(healthy=brokers > 0, detail=f"{brokers} broker{'s' if brokers != 1 else ''}")
