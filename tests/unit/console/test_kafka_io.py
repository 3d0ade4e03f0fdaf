from __future__ import annotations

from pydantic import SecretStr

from console.kafka_io import connection_config
from jobs.settings import KafkaSettings
from jobs.topics import consumer_group


def test_several_brokers_are_several_addresses() -> None:
    assert connection_config(KafkaSettings(bootstrap_servers="one:9092,two:9092"))["bootstrap_servers"] == [
        "one:9092",
        "two:9092",
    ]


def test_a_client_never_waits_longer_than_a_second_to_reach_a_broker_again() -> None:
    assert connection_config(KafkaSettings())["reconnect_backoff_max_ms"] <= 1_000


def test_without_a_log_on_no_password_is_handed_to_the_client() -> None:
    config = connection_config(KafkaSettings(sasl_username="desk", sasl_password=SecretStr("hush-hush")))
    assert not [name for name in config if name.startswith(("sasl", "ssl"))]


def test_sasl_over_tls_uses_mechanism_user_password_and_authority() -> None:
    config = connection_config(
        KafkaSettings(
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-256",
            sasl_username="desk",
            sasl_password=SecretStr("hush-hush"),
            ssl_ca_file="/etc/ssl/authority.pem",
        )
    )
    assert config["security_protocol"] == "SASL_SSL"
    assert config["sasl_mechanism"] == "SCRAM-SHA-256"
    assert (config["sasl_plain_username"], config["sasl_plain_password"]) == ("desk", "hush-hush")
    assert config["ssl_cafile"] == "/etc/ssl/authority.pem"


def test_two_deployments_on_one_broker_keep_their_progress_apart() -> None:
    groups = {consumer_group("history", KafkaSettings(topic_prefix=prefix)) for prefix in ("nepse", "test")}
    assert groups == {"nepse-history", "test-history"}
