"""A real day goes on through upgrades, other parallelisms and another model: nothing is lost or doubled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest

from console.demo_watch import Portion
from console.kafka_io import connection_config
from feeds.producer import TickProducer
from feeds.replay import Replay
from feeds.run import feed
from jobs.settings import PROJECT_ROOT
from jobs.topics import Topic, topic_name
from udfs.artifact import active_version, versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from feeds.source import RawMessage
    from jobs.settings import Settings
    from state.tick import Tick
    from tests.e2e.conftest import JobOnTrial  # type: ignore[import-not-found]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

RATE = 300.0
"""Ticks a second: the day lasts four minutes, the upgrades one and a half to three."""

COMMAND_TIMEOUT_S = 400


@pytest.fixture(scope="module")
def job_variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Model versions of the test's own: a promotion is noted among them."""
    models = tmp_path_factory.mktemp("job") / "models"
    shutil.copytree(PROJECT_ROOT / "model_artifacts", models)
    return {"TICKCAST_MODEL__DIRECTORY": str(models)}


def tickcast(*arguments: str) -> dict[str, Any]:
    """What `tickcast … --json` prints; it must succeed."""
    answer = subprocess.run(
        [sys.executable, "-m", "console.main", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


class _UntilEnough(Portion):
    """A day at a steady rate, until an event says that it has been enough."""

    def __init__(self, messages: Sequence[Tick | RawMessage], enough: threading.Event) -> None:
        super().__init__(messages, RATE)
        self._enough = enough

    def __iter__(self) -> Iterator[Tick | RawMessage]:
        return takewhile(lambda _: not self._enough.is_set(), super().__iter__())


class DayInTheBackground(threading.Thread):
    """Sends a recorded day, as much of it as the upgrades take."""

    def __init__(self, settings: Settings, file: Path) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._file = file
        self._enough = threading.Event()
        self.sent = 0

    def run(self) -> None:
        topic = topic_name(Topic.TICKS, self._settings.kafka)
        with TickProducer(connection_config(self._settings.kafka), topic) as producer:
            self.sent = feed(_UntilEnough(list(Replay([self._file])), self._enough), producer).sent

    def end(self) -> None:
        """Ends the day; all that was sent is confirmed."""
        self._enough.set()
        self.join(120)
        assert not self.is_alive()


def test_upgrades_other_parallelisms_and_another_model_in_the_middle_of_a_real_day(
    job: JobOnTrial, shared_data: Path
) -> None:
    day = DayInTheBackground(job.settings, shared_data / "nepse_floorsheet_2024-06-10.csv.gz")
    day.start()
    job.await_committed(Topic.PREDICTIONS, 500)
    active = active_version(job.settings.model.directory)
    other = next(one for one in versions(job.settings.model.directory) if one != active)
    assert tickcast("model", "promote", other)["version"] == other
    for arguments in (("rescale", "1"), ("rescale", "2"), ("upgrade",), ("rescale", "4"), ("rescale", "1")):
        before = len(job.committed(Topic.PREDICTIONS))
        answer = tickcast(*arguments)
        assert answer["started_from"]
        assert len(job.await_committed(Topic.PREDICTIONS, before + 500)) >= before + 500
    assert day.is_alive(), "the day was over before the last upgrade"
    day.end()
    verdict = job.await_clean_verdict()
    assert verdict.ticks_in == day.sent
    assert verdict.dead_letters == 0
    scored = [one["model_version"] for one in job.committed(Topic.PREDICTIONS)]
    assert set(scored) == {active, other}
    assert scored.count(other) > day.sent / 2
