"""Topics on a real broker."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from console.errors import CommandError
from console.stack import topics
from console.stack.topics import create_topics

if TYPE_CHECKING:
    from console.stack.kafka import KafkaBroker
    from jobs.settings import Settings


def test_more_copies_than_brokers_are_refused_in_a_sentence_that_names_the_setting(
    broker: KafkaBroker, stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    del broker
    monkeypatch.setattr(topics, "_BROKERS_TIMEOUT_S", 0.5)
    kafka = stack_settings.kafka.model_copy(
        update={"replication_factor": 3, "topic_prefix": f"copies-{uuid.uuid4().hex[:8]}"}
    )
    began = time.monotonic()
    with pytest.raises(CommandError, match=r"3 copies.*TICKCAST_KAFKA__REPLICATION_FACTOR"):
        create_topics(stack_settings.model_copy(update={"kafka": kafka}))
    assert time.monotonic() - began >= 0.5
