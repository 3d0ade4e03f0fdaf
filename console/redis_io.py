"""The Redis client, built in one place from the settings."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import redis
from redis import exceptions

from console.errors import CommandError

if TYPE_CHECKING:
    from jobs.settings import RedisSettings

_TIMEOUT_S = 5
_TLS = "rediss://"


def open_redis(settings: RedisSettings, timeout_s: float = _TIMEOUT_S) -> redis.Redis:
    """A client that connects when it is first used, encrypted where the address says ``rediss://``.

    Args:
        settings: Where Redis is, and who vouches for it.
        timeout_s: How long it may take to connect, and to answer.

    Raises:
        CommandError: The address is none.
    """
    url = settings.url.get_secret_value()
    options: dict[str, Any] = {}
    if url.startswith(_TLS):
        # The client's own default takes the certificate of any other server for this one's.
        options = {"ssl_check_hostname": True, "ssl_ca_certs": settings.ssl_ca_file or None}
    try:
        return redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, **options
        )
    except (ValueError, TypeError) as error:
        raise CommandError("TICKCAST_REDIS__URL is no Redis address; it looks like redis://host:6379/0") from error


def lasting_refusal(error: BaseException) -> str | None:
    """A sentence about what waiting will not change: who we are, or who the server is; None for anything else."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return f"Redis refuses the log-on ({reason}); correct user and password in TICKCAST_REDIS__URL"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"Redis' certificate is not trusted ({cause.verify_message});"
                " TICKCAST_REDIS__SSL_CA_FILE names the authority that signed it"
            )
        if isinstance(cause, FileNotFoundError | PermissionError):
            return "the file in TICKCAST_REDIS__SSL_CA_FILE can't be read; correct it"
        cause = cause.__cause__ or cause.__context__
    return None
