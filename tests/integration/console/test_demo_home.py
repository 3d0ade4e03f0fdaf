"""A demo's stack that somebody has gone on to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from console.demo_home import start_fresh
from console.errors import CommandError
from jobs.topics import Topic

if TYPE_CHECKING:
    from console.stack.kafka import KafkaBroker
    from jobs.settings import Settings


def test_ticks_that_the_demo_has_not_sent_keep_its_stack_from_being_removed(
    settings: Settings, broker: KafkaBroker, producer: Any
) -> None:
    mark = settings.home / "run" / "demo-ticks"
    mark.write_text("2\n", encoding="utf-8")
    try:
        # Three ticks and the end of their transaction.
        producer.write(Topic.TICKS, b"{}", b"{}", b"{}")
        with pytest.raises(CommandError, match=r"holds 4 ticks, 2 more than the demo sent"):
            start_fresh(settings, 100, lambda _: None)
    finally:
        mark.unlink()
    assert broker.healthy().healthy
