"""The whole local stack: which components it has, and what is done to all of them."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.postgres_io import open_postgres, sentence
from console.redis_io import lasting_refusal, open_redis
from console.stack.component import Component, Health
from console.stack.external import ExternalServer
from console.stack.flink import FlinkCluster, cluster_health
from console.stack.jars import fetch_all, fetched
from console.stack.kafka import KafkaBroker, broker_health
from console.stack.lock import alone
from console.stack.ports import is_loopback, require_free
from console.stack.postgres import PostgresServer
from console.stack.redis import RedisServer
from console.stack.requirements import requirements
from console.stack.restarts import RestartLog, Restarts
from console.stack.service import Service, SupervisorService
from console.stack.topics import create_topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from jobs.settings import Settings

_ENCRYPTED = ("require", "verify-ca", "verify-full")
_ANSWER_S = 3
"""How long a server elsewhere may take to say that it is well."""


class Stack:
    """Kafka, Flink, Redis and PostgreSQL, and the two services that carry results into the latter.

    A server listens where the settings point if that is loopback and asks for no encryption; any
    other setting names a server of the user's that is only looked at.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.servers: list[Component] = [_kafka(settings), _flink(settings), _redis(settings), _postgres(settings)]
        redis_server, postgres_server = self.servers[2:]
        self.services: list[Component] = [
            Service(settings.home, "view", redis_server.address),
            Service(settings.home, "history", postgres_server.address),
        ]
        self.supervisor = SupervisorService(settings.home)

    @property
    def components(self) -> list[Component]:
        """Servers, then services, in the order of their start: what the supervisor watches."""
        return [*self.servers, *self.services]

    def up(self, say: Callable[[str], None], *, supervise: bool = True) -> None:
        """Start what does not run, and create the topics that are missing.

        Args:
            say: Told, line by line, what has been done.
            supervise: Whether what dies from now on is started again.

        Raises:
            CommandError: Something the machine lacks, a port that is taken, a component that does not start.
        """
        home = self._settings.home
        for requirement in requirements(home):
            if not requirement.met:
                raise CommandError(requirement.detail)
        with self._alone():
            # It would start what is being started here a second time.
            self.supervisor.stop()
            for component in self.components:
                self._require_room(component)
            if not fetched():
                say("fetching the jars of Kafka and of Flink's Kafka connector")
                fetch_all()
            _start_all(self.servers, say)
            if created := create_topics(self._settings):
                say(f"topics    created {', '.join(created)}")
            _start_all(self.services, say)
            if supervise:
                _start_all([self.supervisor], say)

    def down(self, *, purge: bool) -> None:
        """Stop everything that this stack has started.

        Args:
            purge: Also remove all data, checkpoints and logs.
        """
        with self._alone():
            for component in (self.supervisor, *reversed(self.components)):
                component.stop()
            if purge:
                self._purge()

    def health(self) -> dict[str, Health]:
        """Health of every component, all asked at once."""
        with ThreadPoolExecutor(len(self.components)) as pool:
            answers_ = pool.map(lambda component: component.healthy(), self.components)
            return {component.name: health for component, health in zip(self.components, answers_, strict=True)}

    def restarts(self) -> dict[str, Restarts]:
        """What the supervisor has done, by part of the stack."""
        return RestartLog(self._settings.home).read()

    def _alone(self) -> AbstractContextManager[None]:
        home = self._settings.home
        return alone(
            home / "lock",
            f"another `tickcast up` or `tickcast down` is at work in {home}; wait until it is done",
        )

    @staticmethod
    def _require_room(component: Component) -> None:
        if any(process.pid is not None for process in component.processes()):
            return
        for process in component.processes():
            process.clear_leftovers()
        for port in component.ports():
            require_free(component.name, port)

    def _purge(self) -> None:
        home = self._settings.home
        for name in ("checkpoints", "flink", "kafka", "logs", "postgres", "redis", "run"):
            place = home / name
            if place.is_symlink():
                # PostgreSQL's data, when root's home is out of its user's reach.
                shutil.rmtree(place.resolve(), ignore_errors=True)
                place.unlink()
            else:
                shutil.rmtree(place, ignore_errors=True)
        (home / "job.json").unlink(missing_ok=True)


def _kafka(settings: Settings) -> Component:
    host = settings.kafka.bootstrap_servers.rpartition(":")[0]
    if "," not in host and is_loopback(host) and settings.kafka.security_protocol == "PLAINTEXT":
        return KafkaBroker(settings.home, settings.kafka)
    return ExternalServer("kafka", settings.kafka.bootstrap_servers, lambda: broker_health(settings.kafka))


def _flink(settings: Settings) -> Component:
    address = settings.flink.rest_address
    if is_loopback(str(urlsplit(address).hostname)):
        return FlinkCluster(settings)
    return ExternalServer("flink", address, lambda: cluster_health(FlinkRest(address)))


def _redis(settings: Settings) -> Component:
    url = urlsplit(settings.redis.url.get_secret_value())
    host, port = url.hostname or "127.0.0.1", url.port or 6379
    if is_loopback(host) and url.scheme == "redis":
        return RedisServer(settings.home, port, unquote(url.password or ""))
    return ExternalServer("redis", f"{url.scheme}://{host}:{port}", lambda: _redis_health(settings))


def _postgres(settings: Settings) -> Component:
    parameters = conninfo_to_dict(settings.postgres.dsn.get_secret_value())
    host, port = str(parameters.get("host") or "127.0.0.1"), int(parameters.get("port") or 5432)
    encrypted = (settings.postgres.ssl_mode or parameters.get("sslmode")) in _ENCRYPTED
    if is_loopback(host) and not encrypted:
        return PostgresServer(settings.home, port)
    return ExternalServer("postgres", f"postgresql://{host}:{port}", lambda: _postgres_health(settings))


def _redis_health(settings: Settings) -> Health:
    client = open_redis(settings.redis, timeout_s=_ANSWER_S)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return Health(healthy=False, detail=lasting_refusal(error) or str(error))
    finally:
        client.close()
    return Health(healthy=True, detail="answers")


def _postgres_health(settings: Settings) -> Health:
    try:
        connection = open_postgres(settings.postgres, "tickcast status", timeout_s=_ANSWER_S)
    except CommandError as error:
        return Health(healthy=False, detail=str(error))
    except psycopg.Error as error:
        return Health(healthy=False, detail=sentence(error))
    connection.close()
    return Health(healthy=True, detail="answers")


def _start_all(components: list[Component], say: Callable[[str], None]) -> None:
    def start(component: Component) -> None:
        component.start()
        say(f"{component.name:<9} {component.address}")

    with ThreadPoolExecutor(len(components)) as pool:
        for outcome in [pool.submit(start, component) for component in components]:
            outcome.result()
