"""The connection to PostgreSQL, made in one place from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from console.errors import CommandError

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

    from jobs.settings import PostgresSettings

_CONNECT_TIMEOUT_S = 5
_TCP_TIMEOUT_MS = 30_000
_LASTING_REFUSALS = {
    "no password supplied": "refuses the log-on",
    "authentication failed": "refuses the log-on",
    "pg_hba.conf": "refuses the log-on",
    "certificate verify failed": "shows a certificate that is not trusted",
    "does not match host name": "shows a certificate of another server",
    "root certificate file": "can't be told from another server",
    "does not support SSL": "does not encrypt",
    "does not exist": "refuses the log-on",
}
"""Words in an error that waiting will not change, and what they mean; a code for it does not reach the client."""


def open_postgres(
    settings: PostgresSettings, application: str, timeout_s: int = _CONNECT_TIMEOUT_S
) -> psycopg.Connection[TupleRow]:
    """A connection that commits each statement by itself.

    Args:
        settings: Where PostgreSQL is, and whether and how its certificate is looked at.
        application: What the server calls this client.
        timeout_s: How long it may take to connect.

    Raises:
        CommandError: The server, or who it is, will not do however often this is tried.
        psycopg.OperationalError: It does not answer.
    """
    encryption: dict[str, Any] = {}
    if settings.ssl_mode:
        encryption["sslmode"] = settings.ssl_mode
    if settings.ssl_ca_file:
        encryption["sslrootcert"] = settings.ssl_ca_file
    try:
        return psycopg.connect(
            settings.dsn.get_secret_value(),
            autocommit=True,
            application_name=application,
            connect_timeout=timeout_s,
            tcp_user_timeout=_TCP_TIMEOUT_MS,
            **encryption,
        )
    except psycopg.ProgrammingError as error:
        raise CommandError(
            "TICKCAST_POSTGRES__DSN is no connection string; it looks like postgresql://user@host:5432/database"
        ) from error
    except psycopg.OperationalError as error:
        reason = sentence(error)
        for words, meaning in _LASTING_REFUSALS.items():
            if words in reason:
                raise CommandError(
                    f"PostgreSQL {meaning} ({reason}); correct TICKCAST_POSTGRES__DSN, TICKCAST_POSTGRES__SSL_MODE or"
                    " TICKCAST_POSTGRES__SSL_CA_FILE"
                ) from error
        raise


def sentence(error: psycopg.Error) -> str:
    """The server's words on one line; libpq never puts the password into them."""
    return " ".join(str(error).split()) or type(error).__name__
