from __future__ import annotations

import logging

import pytest

from feeds.connecting import overhearing

LOGGER = logging.getLogger("kafka.net.manager")


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch. (_ssl.c:1006)",
            "IP address",
        ),
        ("Handshake failed: [Errno 2] No such file or directory", "SSL_CA_FILE can't be read"),
        ("[Error 58] SaslAuthenticationFailedError: invalid credentials", "SASL_USERNAME and TICKCAST_KAFKA__SASL_P"),
        ("[Error 33] UnsupportedSaslMechanismError", "SASL_MECHANISM"),
        ("Handshake failed: [SSL: WRONG_VERSION_NUMBER] wrong version number", "SECURITY_PROTOCOL"),
        ("Connection lost: KafkaConnectionError: socket disconnected", "it closes the connection"),
    ],
)
def test_the_cause_that_the_client_only_logs_becomes_a_sentence_with_its_remedy(complaint: str, remedy: str) -> None:
    with overhearing() as overheard:
        LOGGER.error("Connection failed: %s", complaint)
    assert remedy in str(overheard.cause())


def test_of_several_complaints_the_one_that_says_most_counts() -> None:
    with overhearing() as overheard:
        LOGGER.error("socket disconnected")
        LOGGER.error("[Error 58] SaslAuthenticationFailedError")
        LOGGER.warning("socket disconnected")
    assert "refuses the log-on" in str(overheard.cause())


def test_a_broker_that_is_not_there_has_no_such_cause() -> None:
    with overhearing() as overheard:
        LOGGER.error("Connection failed: [Errno 111] Connection refused")
    assert overheard.cause() is None


def test_what_is_said_afterwards_is_not_heard() -> None:
    with overhearing() as overheard:
        pass
    LOGGER.error("socket disconnected")
    assert overheard.cause() is None
