"""The topics: the one place that knows their names and how they are created."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.settings import EventTimeSettings, KafkaSettings


class Topic(StrEnum):
    """What a topic carries; its value is the second part of the topic's name."""

    TICKS = "ticks"
    PREDICTIONS = "predictions"
    MARKET = "market"
    BARS = "bars"
    ALERTS = "alerts"
    OUTCOMES = "outcomes"
    SCORES = "scores"
    LATE = "late"
    DEAD_LETTERS = "dead-letters"
    MODELS = "models"


MAX_MESSAGE_BYTES = 16 * 1024 * 1024


def topic_name(topic: Topic, kafka: KafkaSettings) -> str:
    """Full name of a topic, such as ``nepse-ticks``."""
    return f"{kafka.topic_prefix}-{topic.value}"


def consumer_group(reader: str, kafka: KafkaSettings) -> str:
    """Consumer group under which a reader's progress is kept, such as ``nepse-history``."""
    return f"{kafka.topic_prefix}-{reader}"


@dataclass(frozen=True)
class TopicSpec:
    """How one topic is created."""

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]


def topic_specs(kafka: KafkaSettings, event_time: EventTimeSettings) -> list[TopicSpec]:
    """All topics, with the settings that replays and exactly-once results need.

    ``retention.ms=-1``: Kafka deletes by record timestamp, so a replayed day from 2024 would vanish
    minutes after it was written. ``message.timestamp.after.max.ms``: the broker refuses a record
    from the future, which would otherwise push the watermark past every honest tick.
    """
    specs = []
    for topic in Topic:
        config = {"retention.ms": "-1"}
        if topic is Topic.TICKS:
            config["max.message.bytes"] = str(MAX_MESSAGE_BYTES)
            config["message.timestamp.after.max.ms"] = str(int(event_time.max_ahead_s * 1000))
        if topic is Topic.MODELS:
            config["cleanup.policy"] = "compact"
        specs.append(
            TopicSpec(
                name=topic_name(topic, kafka),
                partitions=1 if topic in (Topic.MARKET, Topic.SCORES, Topic.MODELS) else kafka.partitions,
                replication_factor=kafka.replication_factor,
                config=config,
            )
        )
    return specs
