"""Creating the topics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import InvalidReplicationFactorError, KafkaError, TopicAlreadyExistsError

from console.errors import CommandError
from console.kafka_io import open_admin, unreachable
from jobs.topics import topic_specs

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

    from jobs.settings import Settings

_READY_TIMEOUT_S = 30
_BROKERS_TIMEOUT_S = 10
"""A broker that answers, but whose sign of life is late, takes no topic until the next one."""
_POLL_S = 0.1


def create_topics(settings: Settings) -> list[str]:
    """Create the topics that do not exist yet and wait until they can be written to; configure the others.

    Returns:
        Names of the topics that were created.

    Raises:
        CommandError: The broker does not answer, or refuses.
    """
    specs = topic_specs(settings.kafka, settings.event_time)
    admin = open_admin(settings.kafka)
    try:
        existing = set(admin.list_topics())
        missing = [spec for spec in specs if spec.name not in existing]
        for spec in missing:
            topic = NewTopic(
                spec.name,
                num_partitions=spec.partitions,
                replication_factor=spec.replication_factor,
                topic_configs=spec.config,
            )
            _create(admin, topic)
        # What follows from the settings follows them when they change; what someone else has set stays.
        changed = [ConfigResource(ConfigResourceType.TOPIC, spec.name, spec.config) for spec in specs]
        admin.alter_configs([resource for resource in changed if resource.name in existing])
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not {spec.name for spec in specs} <= set(admin.list_topics()):
            if time.monotonic() > deadline:
                raise CommandError(
                    f"the topics were not there {_READY_TIMEOUT_S} s after their creation; see the broker's log"
                )
            time.sleep(_POLL_S)
    except KafkaError as error:
        raise unreachable(settings.kafka, error) from error
    finally:
        admin.close()
    return [spec.name for spec in missing]


def _create(admin: KafkaAdminClient, topic: NewTopic) -> None:
    deadline = time.monotonic() + _BROKERS_TIMEOUT_S
    while True:
        try:
            admin.create_topics([topic])
        except TopicAlreadyExistsError:
            return  # someone else was faster
        except InvalidReplicationFactorError as error:
            if time.monotonic() > deadline:
                raise CommandError(
                    f"the topic {topic.name} is to have {topic.replication_factor} copies, and for"
                    f" {_BROKERS_TIMEOUT_S} s fewer brokers than that were ready to take one: start them, or set"
                    " TICKCAST_KAFKA__REPLICATION_FACTOR"
                ) from error
            time.sleep(_POLL_S)
        else:
            return
