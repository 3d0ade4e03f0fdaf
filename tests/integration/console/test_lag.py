from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from console.history import run_history
from console.lag import partition_lags
from jobs.topics import Topic

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from console.lag import PartitionLag
    from jobs.settings import Settings

    Make = Callable[..., dict[str, Any]]
    Start = Callable[..., subprocess.Popen[str]]


def of(reader: str, settings: Settings) -> list[PartitionLag]:
    return [one for one in partition_lags(settings.kafka) if one.reader == reader]


def test_a_reader_that_never_ran_is_behind_by_everything(settings: Settings, producer: Any, prediction: Make) -> None:
    for offset in range(5):
        producer.write(Topic.PREDICTIONS, prediction(offset=offset), timestamp=1_719_900_000_000 + 1000 * offset)
    (behind,) = [one for one in of("history", settings) if one.lag]
    assert behind.topic.endswith("-predictions")
    assert behind.position is None
    assert behind.behind_s == 4.0
    assert behind.end == behind.lag == 10  # every transaction's marker takes an offset


def test_a_reader_that_has_read_everything_is_behind_by_nothing(
    settings: Settings, producer: Any, prediction: Make
) -> None:
    producer.write(Topic.PREDICTIONS, *[prediction(offset=offset) for offset in range(5)])
    run_history(settings, threading.Event(), until_end=True)
    assert all(one.lag == 0 and one.behind_s == 0.0 for one in of("history", settings))
    assert sum(one.lag for one in of("view", settings)) == 6


def test_machines_get_one_object_by_reader(tickcast: Start, producer: Any, bar: Make) -> None:
    producer.write(Topic.BARS, bar())
    process = tickcast("lag", "--json")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    readers = json.loads(output)["readers"]
    assert set(readers) == {"job-ticks", "job-market-ticks", "view", "history"}
    assert readers["history"]["lag"] == 2
    assert readers["job-ticks"]["lag"] == 0
