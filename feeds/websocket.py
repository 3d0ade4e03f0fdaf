"""A live feed over WebSocket that survives what networks do: drops, silence, garbage and repeats."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import OrderedDict
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from feeds.mapping import Mapping, UnmappableError, map_message
from feeds.run import FeedReport, Meter
from feeds.source import FeedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from websockets.asyncio.client import ClientConnection

    from feeds.producer import TickProducer
    from state.tick import Tick

_log = structlog.get_logger(__name__)

_REMEMBERED_TRADES = 100_000
"""Trades whose repetition is noticed."""
_MAX_MESSAGE_BYTES = 1 << 20
_CLOSE_TIMEOUT_S = 1.0
"""A connection is left without a farewell after this long: what was not taken from it comes again."""
_RETRIED_STATUSES = frozenset({408, 425, 429})
"""Refusals that may pass, besides the server's own faults (5xx)."""


@dataclass(frozen=True)
class Patience:
    """How long the client waits for what, in seconds.

    Attributes:
        connect: For a connection to be made.
        ping_interval: Between two pings.
        ping: For the answer to a ping.
        silence: For a message, before the connection counts as dead; a halt of the market is silent too.
        first_retry: Before the first new attempt; each further one waits twice as long.
        longest_retry: At most, between two attempts.
        give_up: Without a connection, before the feed fails.
    """

    connect: float = 10.0
    ping_interval: float = 10.0
    ping: float = 10.0
    silence: float = 60.0
    first_retry: float = 0.5
    longest_retry: float = 30.0
    give_up: float = 600.0


class WebSocketFeed:
    """Ticks from a WebSocket, across as many connections as it takes.

    After a reconnect a feed that can resume is asked for what was missed, by ``{"resume_after": mark}``, the
    mark being the sequence number, or else the id, of the last tick that was taken. A trade that comes again
    (the same symbol and id) is dropped and counted.

    Args:
        url: ``ws://`` or ``wss://`` address; certificates are verified.
        mapping: How to read the feed's messages.
        patience: How long to wait for what.

    Attributes:
        received: Messages received.
        unmappable: Messages that are no ticks.
        repeated: Ticks that came again.
        connections: Connections made.

    Raises:
        FeedError: If the address is none of a WebSocket.
    """

    def __init__(self, url: str, mapping: Mapping, patience: Patience) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise FeedError("the address is none of a WebSocket; it begins with ws:// or wss:// and names a host")
        self.received = 0
        self.unmappable = 0
        self.repeated = 0
        self.connections = 0
        self._url = url
        self._shown_url = f"{parts.scheme}://{parts.hostname}:{parts.port or ''}".rstrip(":")  # without path and keys
        self._mapping = mapping
        self._patience = patience
        self._resume_after: int | str | None = None
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def ticks(self) -> AsyncGenerator[Tick, None]:
        """Ticks, until the consumer stops.

        Raises:
            FeedError: If the server refuses the client, or is out of reach for longer than the patience lasts.
        """
        attempt = 0
        unreachable_since = time.monotonic()
        while True:
            received_before, connections_before = self.received, self.connections
            try:
                async with self._connect() as connection:
                    self.connections += 1
                    _log.info("feed connected", feed=self._shown_url, resume_after=self._resume_after)
                    async with aclosing(self._read(connection)) as ticks:
                        async for tick in ticks:
                            yield tick
            except (OSError, TimeoutError, WebSocketException) as error:
                self._raise_if_final(error)
                reason = str(error) or type(error).__name__
            if self.received > received_before:
                attempt = 0
            if self.connections > connections_before:
                unreachable_since = time.monotonic()
            if time.monotonic() - unreachable_since > self._patience.give_up:
                raise FeedError(
                    f"the feed at {self._shown_url} was out of reach for {self._patience.give_up:g} s: {reason}"
                )
            delay = self._retry_delay(attempt)
            attempt += 1
            _log.warning("feed lost, connecting again", feed=self._shown_url, reason=reason, in_s=round(delay, 2))
            await asyncio.sleep(delay)

    def _connect(self) -> connect:
        patience = self._patience
        return connect(
            self._url,
            open_timeout=patience.connect,
            ping_interval=patience.ping_interval,
            ping_timeout=patience.ping,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_MESSAGE_BYTES,
        )

    async def _read(self, connection: ClientConnection) -> AsyncGenerator[Tick, None]:
        if self._mapping.can_resume and self._resume_after is not None:
            with suppress(ConnectionClosed):  # what it sent before it closed is still to be read
                await connection.send(orjson.dumps({"resume_after": self._resume_after}), text=True)
        while True:
            try:
                async with asyncio.timeout(self._patience.silence):
                    raw = await connection.recv(decode=False)
            except TimeoutError:
                raise TimeoutError(f"no message for {self._patience.silence:g} s") from None
            self.received += 1
            try:
                mapped = map_message(raw, self._mapping)
            except UnmappableError as error:
                self.unmappable += 1
                _log.warning("message is no tick", feed=self._shown_url, reason=str(error))
                continue
            if mapped is None:
                continue
            tick, mark = mapped
            if self._is_repeated(tick):
                self.repeated += 1
                continue
            yield tick
            # Only now: the consumer has taken the tick, so it need not come again.
            self._resume_after = mark if mark is not None else self._resume_after

    def _is_repeated(self, tick: Tick) -> bool:
        if tick.trade_id is None:
            return False
        key = (tick.symbol, tick.trade_id)
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED_TRADES:
            self._seen.popitem(last=False)
        return False

    def _retry_delay(self, attempt: int) -> float:
        """Exponential back-off up to a cap, half of it left to chance so that clients don't come back in step."""
        patience = self._patience
        delay = min(patience.longest_retry, patience.first_retry * 2 ** min(attempt, 30))
        return random.uniform(0.5 * delay, delay)  # noqa: S311 nothing secret

    def _raise_if_final(self, error: Exception) -> None:
        """Raises where another attempt can't help."""
        if isinstance(error, InvalidURI):
            raise FeedError(f"the address at {self._shown_url} is none of a WebSocket") from None
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            if status < 500 and status not in _RETRIED_STATUSES:  # noqa: PLR2004 HTTP's server errors
                raise FeedError(
                    f"the server at {self._shown_url} refuses the client with HTTP status {status}; "
                    "check the address and the rights it gives"
                ) from None
        if isinstance(error, ssl.SSLCertVerificationError):
            raise FeedError(f"the certificate of {self._shown_url} can't be verified: {error.verify_message}") from None


async def feed_live(
    source: WebSocketFeed,
    producer: TickProducer,
    on_progress: Callable[[FeedReport], None] | None = None,
    limit: int | None = None,
) -> FeedReport:
    """Sends a live feed's ticks to Kafka, until it is cancelled or has sent enough.

    Args:
        source: Gives the ticks.
        producer: Takes them.
        on_progress: Called with the report a few times a second while ticks come.
        limit: Stop after so many ticks; None: go on.

    Raises:
        FeedError: If the feed is lost for good, or a delivery has failed.
    """
    meter = Meter(producer, on_progress, time.monotonic)
    try:
        async with aclosing(source.ticks()) as ticks:
            async for tick in ticks:
                meter.send(tick)
                meter.show(source.unmappable)
                if meter.report.sent == limit:
                    break
    except asyncio.CancelledError:
        meter.report.interrupted = True
    return meter.finish(source.unmappable)
