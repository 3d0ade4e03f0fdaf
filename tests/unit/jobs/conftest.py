"""A gRPC server in the engine's place, for the channels of a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

Serve = Callable[[Callable[[Any, Any], None], Any], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers: takes Beam's function that adds a servicer, and the servicer; gives the address."""
    servers: list[grpc.Server] = []

    def start(add: Callable[[Any, Any], None], servicer: Any) -> str:
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(2), options=unlimited)
        servers.append(server)
        add(servicer, server)
        port = server.add_insecure_port("localhost:0")
        server.start()
        return f"localhost:{port}"

    yield start
    for server in servers:
        server.stop(None)
