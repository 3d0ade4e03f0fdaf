"""Ports on loopback: which are free, and who holds the others."""

from __future__ import annotations

import ipaddress
import random
import socket
from typing import TYPE_CHECKING

import psutil

from console.errors import CommandError

if TYPE_CHECKING:
    from console.stack.component import Port

_CONNECT_S = 2.0
FOR_SERVERS = range(15_000, 32_768)
"""Above the well-known services, below what Linux (and most others) take for outgoing connections."""
_TRIES = 200


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, out of reach for others."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def free_port() -> int:
    """A port on loopback that nobody listens on.

    It is none of those that systems hand out to the near end of a connection: while a server that died is started
    again, its port could be taken by a client that tries to reach it.

    Raises:
        CommandError: There was none among many tried.
    """
    for port in random.sample(FOR_SERVERS, _TRIES):
        if is_free("127.0.0.1", port):
            return port
    raise CommandError(
        f"none of {_TRIES} ports tried between {FOR_SERVERS[0]} and {FOR_SERVERS[-1]} is free: end what holds them"
    )


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do, so that connections that are just closing don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def answers(host: str, port: int) -> bool:
    """Whether someone accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S):
            return True
    except OSError:
        return False


def require_free(name: str, port: Port) -> None:
    """See that a component can listen on its port.

    Raises:
        CommandError: Someone else does; the sentence says who, and how to move the component.
    """
    if not is_free(port.host, port.number):
        raise CommandError(
            f"port {port.number} on {port.host}, meant for {name}, is taken{_holder(port.number)}: end that program,"
            f" or set {port.variable} to an address with a free port"
        )


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return ""  # not every system tells a normal user
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            try:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.Error:
                return f" by process {connection.pid}"
    return ""
