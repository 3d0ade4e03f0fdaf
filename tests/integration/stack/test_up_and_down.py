"""The local stack through the command: up, down, status, and what goes wrong in between."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
from typing import TYPE_CHECKING

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.stack.conftest import StackOnTrial

pytestmark = pytest.mark.timeout(600)

PARTS = {"kafka", "flink", "redis", "postgres", "view", "history", "supervise", "job"}


def test_up_brings_every_part_to_health(stack: StackOnTrial) -> None:
    status = stack.status()
    assert status["healthy"], status
    assert set(status["components"]) == PARTS
    for part in status["components"].values():
        assert set(part) == {"healthy", "address", "detail", "restarts", "last_restart"}


def test_up_again_leaves_every_process_alone(stack: StackOnTrial) -> None:
    before = stack.pids()
    stack.must("up", "--no-supervise")
    assert stack.pids() == before


def test_killed_processes_are_named_with_the_remedy_and_up_repairs_them(stack: StackOnTrial) -> None:
    processes = {"kafka": "kafka", "taskmanager": "flink", "redis": "redis", "postgres": "postgres", "view": "view"}
    before = stack.pids()
    stack.kill(*processes)
    status = stack.status()
    assert not status["healthy"]
    for part in processes.values():
        assert not status["components"][part]["healthy"]
        assert "tickcast up" in status["components"][part]["detail"]

    stack.must("up", "--no-supervise")

    assert stack.status()["healthy"]
    after = stack.pids()
    assert {name for name in after if after[name] != before[name]} == set(processes)


def test_every_process_listens_on_loopback_only(stack: StackOnTrial) -> None:
    families = [
        process
        for pid in stack.pids().values()
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    ]
    addresses = {
        connection.laddr[0]
        for process in families
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses
    for address in addresses:
        ip = ipaddress.ip_address(address)
        assert (getattr(ip, "ipv4_mapped", None) or ip).is_loopback, address


def test_what_stood_in_a_topic_is_there_after_down_and_up(stack: StackOnTrial) -> None:
    servers = stack.environment["TICKCAST_KAFKA__BOOTSTRAP_SERVERS"]
    with contextlib.closing(KafkaProducer(bootstrap_servers=servers)) as producer:
        producer.send("nepse-late", b"kept").get(timeout=20)

    stack.must("down")
    stack.must("down")
    stack.must("up", "--no-supervise")

    consumer = KafkaConsumer(
        "nepse-late", bootstrap_servers=servers, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    with contextlib.closing(consumer):
        assert next(consumer).value == b"kept"


def test_a_taken_port_is_said_in_one_sentence_before_anything_starts(new_stack: Callable[..., StackOnTrial]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        stack = new_stack(TICKCAST_REDIS__URL=f"redis://127.0.0.1:{port}/0")
        code, _, errors = stack.run("up")
    assert code == 1
    assert len(errors.splitlines()) == 1
    assert str(port) in errors
    assert "TICKCAST_REDIS__URL" in errors
    assert not stack.pids()


def test_a_server_elsewhere_is_looked_at_and_never_started(new_stack: Callable[..., StackOnTrial]) -> None:
    # 192.0.2.0/24 is reserved for documentation: nobody answers there.
    stack = new_stack(TICKCAST_KAFKA__BOOTSTRAP_SERVERS="192.0.2.1:9092")
    kafka = stack.status()["components"]["kafka"]
    assert not kafka["healthy"]
    assert "192.0.2.1:9092" in kafka["detail"]


def test_doctor_finds_nothing_missing_where_the_tests_run(new_stack: Callable[..., StackOnTrial]) -> None:
    found = json.loads(new_stack().must("doctor", "--json").splitlines()[-1])
    assert found["healthy"], found
