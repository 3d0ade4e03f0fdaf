"""A broker that demands encryption and a password, and the one sentence for whoever has them wrong."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from console.errors import CommandError
from console.kafka_io import connection_config, open_admin, open_consumer, read_committed
from feeds.producer import TickProducer
from feeds.source import FeedError
from jobs.settings import KafkaSettings
from jobs.topics import Topic, topic_name
from state.tick import Tick
from tests.integration.security.conftest import EncryptedDoor

if TYPE_CHECKING:
    from jobs.settings import Settings
    from tests.integration.security.conftest import Certificates

NOON = 1_721_542_500_000
PATIENCE_S = 2
BOUND_S = 15
LOG_ON = r"TICKCAST_KAFKA__SASL_PASSWORD|password or mechanism for SASL"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that give up soon."""
    monkeypatch.setattr("console.kafka_io.CONNECT_TIMEOUT_S", PATIENCE_S)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_ticks_go_in_and_come_out_where_the_broker_demands_encryption_and_a_password(
    secured: Settings, mechanism: str
) -> None:
    kafka = secured.kafka.model_copy(update={"sasl_mechanism": mechanism})
    before = sum(1 for _ in read_committed(kafka, [Topic.TICKS]))
    with TickProducer(connection_config(kafka), topic_name(Topic.TICKS, kafka)) as producer:
        for number in range(100):
            producer.send(Tick("NABIL", 500.0, 10, NOON + number))
    assert sum(1 for _ in read_committed(kafka, [Topic.TICKS])) == before + 100


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"sasl_password": SecretStr("mistyped")}, LOG_ON),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, r"TICKCAST_KAFKA__SASL_MECHANISM|mechanism for SASL"),
        ({"ssl_ca_file": ""}, r"not trusted .unable to get local issuer.*TICKCAST_KAFKA__SSL_CA_FILE"),
        ({"ssl_ca_file": "/nowhere.pem"}, "TICKCAST_KAFKA__SSL_CA_FILE can't be read"),
        ({"security_protocol": "PLAINTEXT"}, "TICKCAST_KAFKA__SECURITY_PROTOCOL"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
@pytest.mark.usefixtures("impatient")
def test_a_reader_is_told_in_one_sentence_and_in_time_what_it_has_wrong(
    secured: Settings, secret: str, change: dict[str, object], remedy: str
) -> None:
    start = time.monotonic()
    with pytest.raises(CommandError, match=remedy) as refusal:
        open_consumer(secured.kafka.model_copy(update=change), [Topic.TICKS])
    assert time.monotonic() - start < BOUND_S
    assert len(str(refusal.value).splitlines()) == 1
    assert secret not in str(refusal.value)
    assert "mistyped" not in str(refusal.value)


@pytest.mark.usefixtures("impatient")
def test_a_feed_is_told_that_the_log_on_is_refused(secured: Settings) -> None:
    kafka = secured.kafka.model_copy(update={"sasl_password": SecretStr("mistyped")})
    with pytest.raises(FeedError, match=LOG_ON):
        TickProducer(connection_config(kafka), topic_name(Topic.TICKS, kafka))


@pytest.mark.usefixtures("impatient")
def test_a_server_with_another_name_is_not_taken_for_the_broker(secured: Settings, certificates: Certificates) -> None:
    with closing(EncryptedDoor(1, certificates.elsewhere)) as misnamed:
        kafka = secured.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{misnamed.port}"})
        with pytest.raises(CommandError, match=r"its certificate is not trusted .*127\.0\.0\.1"):
            open_admin(kafka)


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_is_not_there_is_not_taken_for_one_that_refuses() -> None:
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="SASL_SSL", sasl_username="desk")
    with pytest.raises(CommandError, match="no Kafka broker answers"):
        open_admin(kafka)
