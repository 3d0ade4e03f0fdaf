"""Tells the running job which model version scores and which one shadows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import orjson

from console.errors import CommandError
from console.kafka_io import connection_config, read_committed
from feeds.producer import TickProducer
from feeds.source import FeedError, RawMessage
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from jobs.settings import KafkaSettings, Settings

Action = Literal["promote", "shadow", "unshadow"]


def publish(settings: Settings, action: Action, version: str) -> None:
    """Writes a command to `nepse-models`, keyed by its action, and waits until the broker has it.

    Args:
        settings: The settings.
        action: `promote`: the version scores; `shadow`: it scores beside the active one; `unshadow`: no longer.
        version: The version; whether it can score is for the caller to know.

    Raises:
        CommandError: If no broker answers, the topic does not exist or the command is not confirmed.
    """
    issued_at = int(time.time() * 1000)
    command = {"action": action, "version": version, "issued_at": issued_at}
    try:
        with TickProducer(connection_config(settings.kafka), topic_name(Topic.MODELS, settings.kafka)) as producer:
            producer.send_raw(RawMessage(action.encode(), orjson.dumps(command), issued_at))
    except FeedError as error:
        raise CommandError(str(error)) from None


def outcomes(kafka: KafkaSettings) -> Iterator[dict[str, Any]]:
    """The committed outcomes that are there now, in order within a partition.

    Raises:
        CommandError: If no broker answers, the topic does not exist, or the broker stops answering.
    """
    for record in read_committed(kafka, [Topic.OUTCOMES]):
        if record.value is not None:
            yield orjson.loads(record.value)
