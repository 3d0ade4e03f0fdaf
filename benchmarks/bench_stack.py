"""A stack of the benchmarks' own: other ports and another folder than the user's, one part started at a time."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Self

from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

from benchmarks.data import ticks_of_shape
from console.errors import CommandError
from console.kafka_io import connection_config, open_admin
from console.stack.ports import free_port
from console.stack.stack import Stack
from console.stack.topics import create_topics
from feeds.producer import TickProducer
from jobs.settings import PROJECT_ROOT, Settings
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from benchmarks.data import Shape
    from console.stack.component import Component
    from state.tick import Tick

FOLDER = PROJECT_ROOT / ".tickcast" / "bench"
_GONE_TIMEOUT_S = 60
_STREAM_LENGTH = 2_000_000


class BenchStack:
    """Kafka, and on demand Flink, Redis and the view.

    Settings in the environment count, but for addresses, folder and topic prefix.

    Args:
        say: Told, line by line, what is being done.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._home = FOLDER / "stack"
        self._before: dict[str, str | None] = {}
        self._filled: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._set(
            {
                "TICKCAST_STACK__HOME": str(self._home),
                "TICKCAST_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
                "TICKCAST_FLINK__REST_ADDRESS": f"http://127.0.0.1:{free_port()}",
                "TICKCAST_REDIS__URL": f"redis://127.0.0.1:{free_port()}/0",
                "TICKCAST_POSTGRES__DSN": f"postgresql://tickcast@127.0.0.1:{free_port()}/tickcast",
                "TICKCAST_REDIS__STREAM_LENGTH": str(_STREAM_LENGTH),
            }
        )
        # What an interrupted run has left.
        Stack(Settings()).down(purge=True)
        self.start("kafka")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            Stack(Settings()).down(purge=True)
        finally:
            for name, value in self._before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def settings(self, prefix: str, parallelism: int) -> Settings:
        """Settings for a run, here and in the environment of whatever is started."""
        self._set(
            {
                "TICKCAST_KAFKA__TOPIC_PREFIX": prefix,
                "TICKCAST_FLINK__PARALLELISM": str(parallelism),
                "TICKCAST_STACK__TASK_SLOTS": str(parallelism),
            }
        )
        return Settings()

    def start(self, *names: str) -> None:
        """Starts components of the stack: kafka, flink, redis, view."""
        for component in self._components(names):
            component.start()

    def stop(self, *names: str) -> None:
        """Stops components."""
        for component in reversed(self._components(names)):
            component.stop()

    def _components(self, names: Iterable[str]) -> list[Component]:
        there = {component.name: component for component in Stack(Settings()).components}
        return [there[name] for name in names]

    def fill(self, shape: Shape) -> str:
        """Puts a shape's ticks into a topic, unless they are there; returns the topic's prefix."""
        prefix = f"bench-{shape.name}"
        if prefix not in self._filled:
            self._say(f"{shape.ticks:,} ticks of {shape.symbols} symbols{', half of one' if shape.hot else ''} …")
            self._filled[prefix] = self.send(prefix, ticks_of_shape(shape))
        return prefix

    def send(self, prefix: str, ticks: Iterable[Tick]) -> int:
        """Sends ticks to the ticks' topic of a prefix, which is created where needed; returns how many."""
        settings = self.settings(prefix, 1)
        create_topics(settings)
        with TickProducer(connection_config(settings.kafka), topic_name(Topic.TICKS, settings.kafka)) as producer:
            for tick in ticks:
                producer.send(tick)
            producer.flush()
            return producer.sent

    def empty_results(self, prefix: str) -> None:
        """Creates the result topics of a prefix anew."""
        settings = self.settings(prefix, 1)
        self.remove_topics([topic_name(topic, settings.kafka) for topic in Topic if topic is not Topic.TICKS])
        create_topics(settings)

    def new_topic(self, name: str, partitions: int) -> None:
        """Creates a topic for a contestant's predictions."""
        admin = open_admin(Settings().kafka)
        try:
            topic = NewTopic(
                name, num_partitions=partitions, replication_factor=1, topic_configs={"retention.ms": "-1"}
            )
            with contextlib.suppress(TopicAlreadyExistsError):
                admin.create_topics([topic])
            self._await(lambda: name in admin.list_topics(), f"the topic {name} did not come up")
        finally:
            admin.close()

    def remove_topics(self, names: Iterable[str]) -> None:
        """Removes topics and waits until they are gone."""
        admin = open_admin(Settings().kafka)
        try:
            there = set(admin.list_topics()) & set(names)
            for name in there:
                with contextlib.suppress(UnknownTopicOrPartitionError):
                    admin.delete_topics([name])
            self._await(lambda: not there & set(admin.list_topics()), "the broker did not remove the former topics")
        finally:
            admin.close()

    def remove_others(self, prefixes: Iterable[str]) -> None:
        """Removes every topic whose name begins with one of these."""
        admin = open_admin(Settings().kafka)
        try:
            names = [name for name in admin.list_topics() if name.startswith(tuple(prefixes))]
        finally:
            admin.close()
        self.remove_topics(names)

    @staticmethod
    def _await(done: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _GONE_TIMEOUT_S
        while not done():
            if time.monotonic() > deadline:
                raise CommandError(f"{otherwise} in {_GONE_TIMEOUT_S} s")
            time.sleep(0.1)

    def _set(self, variables: dict[str, str]) -> None:
        for name, value in variables.items():
            self._before.setdefault(name, os.environ.get(name))
            os.environ[name] = value
