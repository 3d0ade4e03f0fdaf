"""Whose data the local stack holds: a demo removes what a former demo left, and nobody else's."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from console.errors import CommandError
from console.kafka_io import open_consumer
from console.stack.stack import Stack
from console.stack.topics import create_topics
from jobs.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobs.settings import Settings

    Say = Callable[[str], None]

_OTHERWISE = (
    "remove the data with `tickcast down --purge`, or let the demo use another folder with TICKCAST_STACK__HOME and"
    " other ports"
)


def start_fresh(settings: Settings, ticks: int, say: Say) -> None:
    """Starts the stack with empty topics.

    Args:
        settings: Where it is.
        ticks: How many messages the demo is going to send.
        say: Told, line by line, what has been done.

    Raises:
        CommandError: The folder or the broker holds what is not a demo's, or the stack does not start.
    """
    home = settings.home
    if (home / "kafka").exists():
        _require_former_demo(settings)
        say("removing the former demo …")
        Stack(settings).down(purge=True)
    # What is marked first can be recognised however early the demo is interrupted.
    _mark(home).parent.mkdir(parents=True, exist_ok=True)
    _mark(home).write_text(f"{ticks}\n", encoding="utf-8")
    Stack(settings).up(say)
    if there := _ticks_there(settings):
        raise CommandError(
            f"the broker at {settings.kafka.bootstrap_servers} holds {there:,} ticks already and the demo needs empty"
            " topics: give it a TICKCAST_KAFKA__TOPIC_PREFIX of its own"
        )


def _require_former_demo(settings: Settings) -> None:
    home = settings.home
    if not _mark(home).exists():
        raise CommandError(f"{home} holds a stack that is no demo's: {_OTHERWISE}")
    for server in Stack(settings).servers:
        if server.name == "kafka":
            server.start()
    create_topics(settings)
    there, sent = _ticks_there(settings), int(_mark(home).read_text(encoding="utf-8") or 0)
    if there > sent:
        raise CommandError(f"{home} holds {there:,} ticks, {there - sent:,} more than the demo sent: {_OTHERWISE}")


def _mark(home: Path) -> Path:
    """Says how many ticks the demo sends; it goes with the data when they are purged."""
    return home / "run" / "demo-ticks"


def _ticks_there(settings: Settings) -> int:
    with closing(open_consumer(settings.kafka, [Topic.TICKS])) as consumer:
        partitions = list(consumer.assignment())
        first, end = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        return sum(int(end[partition]) - int(first[partition]) for partition in partitions)
