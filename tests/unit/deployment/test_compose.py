from __future__ import annotations

import re
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

from console.main import VERBS
from jobs.settings import PROJECT_ROOT, Settings
from jobs.topics import MAX_MESSAGE_BYTES

Compose = dict[str, Any]

FILE = PROJECT_ROOT / "docker" / "compose.yaml"
IMAGE = "tickcast:"
OVER_THE_CONFIGURATION = "FLINK_PROPERTIES"


def ours(compose: Compose) -> dict[str, dict[str, Any]]:
    """The services that run our image."""
    return {name: service for name, service in compose["services"].items() if service["image"].startswith(IMAGE)}


def flink_properties(compose: Compose) -> dict[str, str]:
    text = compose["services"]["jobmanager"]["environment"][OVER_THE_CONFIGURATION]
    return dict(line.split(": ", 1) for line in text.splitlines())


def test_the_file_is_one_that_compose_understands() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_a_port_is_open_to_this_machine_alone_and_is_the_settings_default(compose: Compose) -> None:
    published = {name: service["ports"][0] for name, service in compose["services"].items() if service.get("ports")}
    settings = Settings()
    addresses = {
        "kafka": settings.kafka.bootstrap_servers,
        "jobmanager": urlsplit(settings.flink.rest_address).netloc,
        "redis": urlsplit(settings.redis.url.get_secret_value()).netloc,
        "postgres": urlsplit(settings.postgres.dsn.get_secret_value()).netloc.rpartition("@")[2],
    }
    assert {name: port.rpartition(":")[0] for name, port in published.items()} == addresses


def test_the_broker_sends_the_hosts_programs_back_to_the_published_port(compose: Compose) -> None:
    kafka = compose["services"]["kafka"]
    advertised = dict(item.split("://") for item in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listeners = dict(item.split("://") for item in kafka["environment"]["KAFKA_LISTENERS"].split(","))
    assert advertised["HOST"] == Settings().kafka.bootstrap_servers
    assert kafka["ports"] == [f"{advertised['HOST']}{listeners['HOST']}"]
    asked = {service["environment"].get("TICKCAST_KAFKA__BOOTSTRAP_SERVERS") for service in ours(compose).values()}
    assert asked - {None} == {advertised["CONTAINERS"]}


def test_the_broker_takes_the_longest_message_and_the_sinks_transactions(compose: Compose) -> None:
    environment = compose["services"]["kafka"]["environment"]
    assert environment["KAFKA_MESSAGE_MAX_BYTES"] == MAX_MESSAGE_BYTES
    assert environment["KAFKA_TRANSACTION_MAX_TIMEOUT_MS"] >= Settings().flink.transaction_timeout_ms
    # Longer than any that may still be finished; not so long that millions of names of finished ones are kept.
    kept_ms = environment["KAFKA_TRANSACTIONAL_ID_EXPIRATION_MS"]
    assert Settings().flink.transaction_timeout_ms < kept_ms <= 4 * 3_600_000
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_every_setting_of_a_service_is_one_that_tickcast_reads(compose: Compose, setting_names: set[str]) -> None:
    for service in ours(compose).values():
        named = {name for name in service["environment"] if name.startswith("TICKCAST_")}
        assert named <= setting_names


def test_no_service_is_given_a_secret_that_it_does_not_need(compose: Compose) -> None:
    needs = {
        name: set(re.findall(r"\$\{(\w+)", " ".join(str(value) for value in service.get("environment", {}).values())))
        for name, service in compose["services"].items()
    }
    assert {name: secrets for name, secrets in needs.items() if secrets} == {
        "redis": {"REDIS_PASSWORD"},
        "view": {"REDIS_PASSWORD"},
        "postgres": {"POSTGRES_PASSWORD"},
        "history": {"POSTGRES_PASSWORD"},
        "tickcast": {"REDIS_PASSWORD", "POSTGRES_PASSWORD"},
    }


def test_a_password_must_be_set_and_none_is_in_the_repository(compose: Compose) -> None:
    interpolated = re.findall(r"\$\{([^}]*)\}", str(compose))
    assert interpolated
    assert all(":?" in variable for variable in interpolated)
    example = (PROJECT_ROOT / "docker" / ".env.example").read_text(encoding="utf-8")
    entries = dict(line.split("=", 1) for line in example.splitlines() if not line.startswith("#"))
    assert entries == dict.fromkeys({variable.split(":?")[0] for variable in interpolated}, "")


def test_a_service_runs_a_verb_of_the_command(compose: Compose) -> None:
    commands = {
        service["command"][0]
        for service in ours(compose).values()
        if service.get("entrypoint") == ["/opt/tickcast/.venv/bin/tickcast"] and "command" in service
    }
    assert commands == {"submit", "view", "history"}
    assert commands <= VERBS.keys()


def test_flink_is_told_its_addresses_and_what_differs_from_place_to_place_only(
    compose: Compose, flink_configuration: dict[str, Any]
) -> None:
    written_over = flink_properties(compose)
    addresses = {name for name in flink_configuration if name.endswith(("address", "host"))}
    # The entrypoint sets this one from JOB_MANAGER_RPC_ADDRESS.
    assert addresses - written_over.keys() == {"jobmanager.rpc.address"}
    assert not {name for name in written_over.keys() & flink_configuration.keys() if name not in addresses}
    assert compose["services"]["jobmanager"]["environment"] == compose["services"]["taskmanager"]["environment"]


def test_the_entrypoint_can_pass_on_every_value(compose: Compose) -> None:
    # It removes all blanks from a line and divides it at the first colon.
    for name, value in flink_properties(compose).items():
        assert " " not in value, name


def test_the_cluster_has_the_slots_that_the_job_asks_for(compose: Compose) -> None:
    assert int(flink_properties(compose)["taskmanager.numberOfTaskSlots"]) >= Settings().flink.parallelism


def test_everyone_who_needs_the_jobs_state_has_the_same_volume(compose: Compose) -> None:
    for name in ("jobmanager", "taskmanager", "submit"):
        assert compose["services"][name]["volumes"] == ["state:/var/lib/tickcast"]
    mounted = {
        volume.partition(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])
    }
    assert mounted == compose["volumes"].keys()


def test_nothing_starts_before_what_it_needs_is_there(compose: Compose) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            if condition == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
            else:
                assert services[other]["restart"] == "no", f"{name} waits for the end of {other}"


def test_our_containers_have_no_rights_of_root(compose: Compose) -> None:
    for service in ours(compose).values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert "user" not in service


def test_only_flink_and_the_databases_can_write_outside_their_volumes(compose: Compose) -> None:
    writable = {name for name, service in compose["services"].items() if not service.get("read_only")}
    assert writable == {"kafka", "jobmanager", "taskmanager", "postgres"}


def test_the_image_and_the_broker_are_the_versions_of_the_project(compose: Compose, project: dict[str, Any]) -> None:
    assert {service["image"] for service in ours(compose).values()} == {f"{IMAGE}{project['version']}"}
    pom = (PROJECT_ROOT / "console" / "stack" / "maven" / "broker" / "pom.xml").read_text(encoding="utf-8")
    (version,) = re.findall(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\d.]+)</version>", pom)
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{version}"
