"""The WebSocket client against a real server that does what networks and servers do."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve

from feeds.mapping import PRESETS
from feeds.source import FeedError
from feeds.websocket import Patience, WebSocketFeed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from state.tick import Tick

    Behaviour = Callable[["Exchange", ServerConnection], Awaitable[None]]

QUICK = Patience(connect=5, ping_interval=0.1, ping=0.3, silence=5, first_retry=0.02, longest_retry=0.1, give_up=5)


def message(number: int, **extra: object) -> str:
    fields = {"symbol": "ABC", "price": 100 + number, "volume": 10, "timestamp": 1_721_542_500_000 + number}
    return orjson.dumps(fields | {"trade_id": f"t{number}", "sequence": number} | extra).decode()


class Exchange:
    """A feed of numbered ticks; how it treats its clients is up to the test.

    Attributes:
        connections: Connections so far.
        resumed_after: What clients asked to resume after.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.connections = 0
        self.resumed_after: list[Any] = []
        self._behaviour = behaviour

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[str]:
        async with serve(self._serve, "127.0.0.1", port, close_timeout=0.2) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/feed"

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        await self._behaviour(self, connection)

    async def resume_point(self, connection: ServerConnection) -> int:
        """The sequence number that a client which comes again asks to resume after; 0 for its first connection."""
        if self.connections == 1:
            return 0
        async with asyncio.timeout(5):
            asked = orjson.loads(await connection.recv())
        self.resumed_after.append(asked["resume_after"])
        return int(asked["resume_after"])


def run(
    exchange: Exchange, count: int, patience: Patience = QUICK, preset: str = "own"
) -> tuple[list[Tick], WebSocketFeed]:
    """Takes so many ticks of an exchange."""

    async def take() -> tuple[list[Tick], WebSocketFeed]:
        async with exchange.running() as url:
            feed = WebSocketFeed(url, PRESETS[preset], patience)
            return await first_ticks(feed, count), feed

    return asyncio.run(take())


async def first_ticks(feed: WebSocketFeed, count: int) -> list[Tick]:
    taken: list[Tick] = []
    async with asyncio.timeout(20), aclosing(feed.ticks()) as ticks:
        async for tick in ticks:
            taken.append(tick)
            if len(taken) == count:
                break
    return taken


def numbers(ticks: list[Tick]) -> list[int]:
    return [int((tick.trade_id or "")[1:]) for tick in ticks]


@pytest.mark.parametrize("abort", [False, True], ids=["closed", "torn"])
def test_nothing_is_lost_or_doubled_when_the_server_drops_the_connection(abort: bool) -> None:
    async def drop_every_seven(exchange: Exchange, connection: ServerConnection) -> None:
        start = await exchange.resume_point(connection)
        for number in range(start + 1, start + 8):
            await connection.send(message(number))
        if abort:
            connection.transport.abort()

    exchange = Exchange(drop_every_seven)
    ticks, feed = run(exchange, 100)
    assert numbers(ticks) == list(range(1, 101))
    assert feed.connections >= 15
    assert exchange.resumed_after == sorted(exchange.resumed_after)


def test_repeated_messages_are_dropped_and_counted() -> None:
    async def repeat(exchange: Exchange, connection: ServerConnection) -> None:
        start = await exchange.resume_point(connection)
        for number in range(max(1, start - 5), start + 10):
            await connection.send(message(number))
            await connection.send(message(number))

    ticks, feed = run(Exchange(repeat), 60)
    assert numbers(ticks) == list(range(1, 61))
    assert feed.repeated > 60


def test_the_same_trade_id_of_another_symbol_is_another_trade() -> None:
    async def two_symbols(_: Exchange, connection: ServerConnection) -> None:
        await connection.send(message(1))
        await connection.send(message(1, symbol="XYZ"))
        await connection.wait_closed()

    ticks, _ = run(Exchange(two_symbols), 2)
    assert [tick.symbol for tick in ticks] == ["ABC", "XYZ"]


def test_garbage_is_counted_and_the_ticks_around_it_come_through() -> None:
    async def garbage(_: Exchange, connection: ServerConnection) -> None:
        for junk in ("not json", "[]", "", b"\xff\x00", message(2, price=-1), '{"symbol": "A"}'):
            await connection.send(junk)
        await connection.send(message(1))
        await connection.wait_closed()

    ticks, feed = run(Exchange(garbage), 1)
    assert numbers(ticks) == [1]
    assert (feed.unmappable, feed.connections) == (6, 1)


def test_a_message_that_is_far_too_long_costs_a_connection_but_not_the_feed() -> None:
    async def too_long_at_first(exchange: Exchange, connection: ServerConnection) -> None:
        if exchange.connections == 1:
            await connection.send("x" * 3_000_000)
        await connection.send(message(1))
        await connection.wait_closed()

    ticks, feed = run(Exchange(too_long_at_first), 1)
    assert numbers(ticks) == [1]
    assert feed.connections == 2


def test_a_server_that_stops_answering_pings_is_left() -> None:
    async def go_deaf(exchange: Exchange, connection: ServerConnection) -> None:
        start = await exchange.resume_point(connection)
        await connection.send(message(start + 1))
        if exchange.connections == 1:
            connection.transport.pause_reading()  # the client's pings stay unread, so no pong is sent
        await connection.wait_closed()

    exchange = Exchange(go_deaf)
    ticks, _ = run(exchange, 2)
    assert numbers(ticks) == [1, 2]
    assert exchange.resumed_after == [1]


def test_a_server_that_answers_pings_but_sends_nothing_is_left() -> None:
    async def fall_silent(exchange: Exchange, connection: ServerConnection) -> None:
        start = await exchange.resume_point(connection)
        await connection.send(message(start + 1))
        await connection.wait_closed()

    patience = Patience(
        connect=5, ping_interval=0.1, ping=5, silence=0.4, first_retry=0.02, longest_retry=0.1, give_up=5
    )
    ticks, feed = run(Exchange(fall_silent), 3, patience)
    assert numbers(ticks) == [1, 2, 3]
    assert feed.connections == 3


def test_a_feed_without_sequence_numbers_resumes_after_the_trade_id() -> None:
    asked: list[object] = []

    async def only_ids(exchange: Exchange, connection: ServerConnection) -> None:
        if exchange.connections > 1:
            asked.append(orjson.loads(await connection.recv()))
        await connection.send(message(exchange.connections, sequence=None))

    ticks, _ = run(Exchange(only_ids), 3)
    assert numbers(ticks) == [1, 2, 3]
    assert asked == [{"resume_after": "t1"}, {"resume_after": "t2"}]


def test_a_binance_stream_is_read_across_a_drop_without_asking_it_to_resume() -> None:
    async def binance(exchange: Exchange, connection: ServerConnection) -> None:
        await connection.send('{"result":null,"id":1}')
        for number in (exchange.connections, exchange.connections + 1):
            trade = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": "1.5", "q": "0.1", "T": 1_700_000_000_000}
            await connection.send(orjson.dumps({"stream": "btcusdt@trade", "data": trade}).decode())

    ticks, feed = run(Exchange(binance), 4, preset="binance")
    assert [tick.trade_id for tick in ticks] == ["1", "2", "3", "4"]
    assert (feed.unmappable, feed.repeated) == (0, 2)


def test_a_server_that_comes_late_is_waited_for() -> None:
    async def greet(_: Exchange, connection: ServerConnection) -> None:
        await connection.send(message(1))
        await connection.wait_closed()

    async def take() -> list[Tick]:
        tried = asyncio.Event()

        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tried.set()
            writer.close()

        not_yet = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = not_yet.sockets[0].getsockname()[1]
        taking = asyncio.ensure_future(first_ticks(WebSocketFeed(f"ws://127.0.0.1:{port}/", PRESETS["own"], QUICK), 1))
        async with asyncio.timeout(10):
            await tried.wait()
        not_yet.close()
        async with Exchange(greet).running(port):
            return await taking

    assert numbers(asyncio.run(take())) == [1]


def test_a_server_out_of_reach_is_given_up_in_the_end(unused_port: int) -> None:
    patience = Patience(first_retry=0.01, longest_retry=0.05, give_up=0.5)
    feed = WebSocketFeed(f"ws://127.0.0.1:{unused_port}/?key=SECRET", PRESETS["own"], patience)
    started = time.monotonic()
    with pytest.raises(FeedError, match=r"out of reach for 0\.5 s") as failure:
        asyncio.run(first_ticks(feed, 1))
    assert 0.5 <= time.monotonic() - started < 5
    assert "SECRET" not in str(failure.value)


def test_attempts_become_rarer() -> None:
    async def count_attempts() -> int:
        attempts = 0

        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal attempts
            attempts += 1
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            feed = WebSocketFeed(url, PRESETS["own"], Patience(first_retry=0.05, longest_retry=30, give_up=1.5))
            with pytest.raises(FeedError):
                await first_ticks(feed, 1)
        return attempts

    assert 3 <= asyncio.run(count_attempts()) <= 9, "at a constant pace it would be 30 or more"


def test_a_server_that_refuses_the_client_fails_at_once() -> None:
    async def take() -> None:
        async def never(_: ServerConnection) -> None:
            raise AssertionError("nobody gets in")

        def refuse(connection: ServerConnection, _: object) -> Any:
            return connection.respond(403, "no key")

        async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/?key=SECRET"
            await first_ticks(WebSocketFeed(url, PRESETS["own"], QUICK), 1)

    with pytest.raises(FeedError, match="refuses the client with HTTP status 403") as failure:
        asyncio.run(take())
    assert "SECRET" not in str(failure.value)


def test_no_key_of_the_address_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    async def drop_once(exchange: Exchange, connection: ServerConnection) -> None:
        await connection.send("garbage")
        await connection.send(message(exchange.connections))

    async def take() -> None:
        async with Exchange(drop_once).running() as url:
            with_key = url.replace("ws://", "ws://user:SECRET@") + "?token=SECRET"
            await first_ticks(WebSocketFeed(with_key, PRESETS["own"], QUICK), 2)

    asyncio.run(take())
    logged = "".join(capfd.readouterr())
    assert "connecting again" in logged
    assert "SECRET" not in logged


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1:80", "ws://", ""])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(FeedError, match="begins with ws:// or wss://"):
        WebSocketFeed(url, PRESETS["own"], QUICK)
