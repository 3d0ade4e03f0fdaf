"""Why a Kafka client does not come through.

kafka-python tries again until its time is up and then raises the same error for every cause. The
causes stand in its log, which nobody reads.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGGER = logging.getLogger("kafka.net")

_CAUSES = (
    (
        r"CERTIFICATE_VERIFY_FAILED\] certificate verify failed: (?P<detail>.*?)(?: \(_ssl|\.$)",
        "its certificate is not trusted ({detail}); TICKCAST_KAFKA__SSL_CA_FILE names the authority that signed it",
    ),
    (
        r"No such file|NO_CERTIFICATE_OR_CRL|Permission denied",
        "the file in TICKCAST_KAFKA__SSL_CA_FILE can't be read as certificates; correct it",
    ),
    (
        r"SaslAuthentication|Authentication failed",
        "it refuses the log-on; correct TICKCAST_KAFKA__SASL_USERNAME and TICKCAST_KAFKA__SASL_PASSWORD",
    ),
    (
        r"UnsupportedSaslMechanism",
        "it does not know this way of logging on; correct TICKCAST_KAFKA__SASL_MECHANISM",
    ),
    (
        r"\[SSL|SaslHandshake failed|IllegalSaslState",
        "it does not encrypt or log on as asked; correct TICKCAST_KAFKA__SECURITY_PROTOCOL",
    ),
    (
        # What a broker does that asks for TLS and gets none, and many a one that refuses a password.
        r"socket disconnected|Connection reset",
        "it closes the connection; correct TICKCAST_KAFKA__SECURITY_PROTOCOL, or user, password or mechanism for SASL",
    ),
)


class Overheard(logging.Handler):
    """What kafka-python has complained about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._complaints: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a complaint."""
        self._complaints.append(record.getMessage())

    def cause(self) -> str | None:
        """Why the broker, although it is there, can't be talked to, and the remedy; None if it is not there."""
        for pattern, sentence in _CAUSES:
            for complaint in self._complaints:
                if found := re.search(pattern, complaint):
                    return sentence.format(**found.groupdict())
        return None


@contextmanager
def overhearing() -> Iterator[Overheard]:
    """Listen to kafka-python while a client is being opened."""
    overheard = Overheard()
    _LOGGER.addHandler(overheard)
    try:
        yield overheard
    finally:
        _LOGGER.removeHandler(overheard)
