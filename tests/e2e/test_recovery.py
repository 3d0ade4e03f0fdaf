"""The job loses a worker, and is replaced by itself, in the middle of the day: nothing is lost, nothing doubled."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import requests

from console.job import job_health, stop_job, submit_job, with_parallelism
from console.model_control import publish
from console.stack.python_workers import python_workers
from jobs.topics import Topic
from udfs.artifact import active_version, versions

if TYPE_CHECKING:
    import psutil

    from console.stack.flink import FlinkCluster
    from tests.e2e.conftest import JobOnTrial  # type: ignore[import-not-found]

pytestmark = pytest.mark.timeout(600)

WAIT_S = 180
SYMBOLS = ("NABIL", "NICA", "HDL")


@pytest.fixture(scope="module")
def job_variables() -> dict[str, str]:
    """Patience that leaves time to kill a worker while a tick waits for its market snapshot."""
    return {"TICKCAST_MARKET__PATIENCE_S": "10"}


def trade(job: JobOnTrial, first: int, count: int) -> None:
    """Writes trades, numbered from `first`, every tenth of them twice."""
    for number in range(first, first + count):
        symbol = SYMBOLS[number % len(SYMBOLS)]
        job.tick(symbol, f"trade {number}", 500 + number % 11)
        if not number % 10:
            job.tick(symbol, f"trade {number}", 500 + number % 11)


def assert_each_predicted_once(job: JobOnTrial, count: int) -> None:
    predicted = Counter(one["trade_id"] for one in job.await_committed(Topic.PREDICTIONS, count))
    assert predicted == Counter(f"trade {number}" for number in range(count))
    verdict = job.await_clean_verdict()
    assert verdict.dead_letters == 0
    assert verdict.ticks_in == count + verdict.duplicates


def checkpoints(job: JobOnTrial) -> dict[str, int]:
    """Numbers of the job's checkpoints since it was submitted: such as `completed` and `restored`."""
    answer = requests.get(f"{job.rest.address}/jobs/{job.job.id}/checkpoints", timeout=10)
    counts: dict[str, int] = answer.json()["counts"] if answer.ok else {"completed": 0, "restored": 0}
    return counts


def await_restored_job(job: JobOnTrial, flink: FlinkCluster, before: int) -> None:
    """Waits until the job has taken up a checkpoint once more; a TaskManager that died is started again."""
    deadline = time.monotonic() + WAIT_S
    while not (checkpoints(job)["restored"] > before and job_health(job.settings).healthy):
        assert time.monotonic() < deadline, "the job was not restored"
        flink.start()
        time.sleep(0.5)


def await_checkpoints(job: JobOnTrial, count: int) -> None:
    """Waits until so many checkpoints have been completed."""
    deadline = time.monotonic() + WAIT_S
    while checkpoints(job)["completed"] < count:
        assert time.monotonic() < deadline, "no checkpoint was completed"
        time.sleep(0.1)


def workers_of(flink: FlinkCluster) -> list[psutil.Process]:
    """The processes in which the TaskManager runs Python functions."""
    [taskmanager] = flink.parts()[1].processes()
    return python_workers(taskmanager.pid)


def test_a_tick_that_waits_for_the_market_survives_though_no_other_follows(
    job: JobOnTrial, flink: FlinkCluster
) -> None:
    before, counts = len(job.committed(Topic.PREDICTIONS)), checkpoints(job)
    # Ahead of all others, so that its snapshot is not there yet.
    job.tick(SYMBOLS[0], f"trade {before}", ahead_ms=9_000)
    await_checkpoints(job, counts["completed"] + 2)
    assert len(job.committed(Topic.PREDICTIONS)) == before, "it is not predicted before the worker dies"

    for worker in workers_of(flink):  # one that has nothing to do is not missed
        worker.kill()
    await_restored_job(job, flink, counts["restored"])

    assert len(job.await_committed(Topic.PREDICTIONS, before + 1)) == before + 1


def test_an_upgrade_with_a_savepoint_to_another_parallelism_keeps_what_was_remembered(job: JobOnTrial) -> None:
    before = len(job.committed(Topic.PREDICTIONS))
    trade(job, before, 30)
    savepoint = stop_job(job.settings)
    trade(job, before + 30, 30)

    job.job = submit_job(with_parallelism(job.settings, 4), savepoint)

    trade(job, before + 60, 40)
    assert_each_predicted_once(job, before + 100)
    # Trades from before the upgrade come again: only who remembers them drops them.
    for number in range(before, before + 5):
        job.tick(SYMBOLS[number % len(SYMBOLS)], f"trade {number}", 500 + number % 11)
    job.tick("NABIL", "the last one")
    predicted = [one["trade_id"] for one in job.await_committed(Topic.PREDICTIONS, before + 101)]
    assert len(predicted) == len(set(predicted)) == before + 101


def is_in_force(job: JobOnTrial, expected: list[str]) -> bool:
    """Whether the snapshot that a trade of this moment is scored with, if not an earlier one, names these versions."""
    second = int(time.time()) - job.settings.market.lag_s
    seen = [one for one in job.committed(Topic.MARKET) if one["market_time"] <= second * 1000]
    return any(one["model_versions"] == expected for one in seen[-1:])  # none at first


def trade_until_in_force(job: JobOnTrial, first: int, expected: list[str]) -> int:
    """Writes trades until they are scored by these model versions; the number of the next trade."""
    deadline = time.monotonic() + WAIT_S
    while not is_in_force(job, expected):
        assert time.monotonic() < deadline, "the command was not obeyed"
        trade(job, first, 10)
        first += 10
        time.sleep(0.5)  # as an exchange would: the market's seconds have to pass
    trade(job, first, 10)
    return first + 10


def test_models_change_while_the_job_runs_and_one_that_does_not_fit_is_refused(job: JobOnTrial) -> None:
    models = job.settings.model.directory
    active = active_version(models)
    other = next(version for version in versions(models) if version != active)
    before = len(job.committed(Topic.PREDICTIONS))

    publish(job.settings, "shadow", other)
    following = trade_until_in_force(job, before, [active, other])
    publish(job.settings, "promote", "no-such-version")
    publish(job.settings, "promote", other)
    last = trade_until_in_force(job, following, [other])

    [refused] = [one for one in job.committed(Topic.ALERTS) if one["rule"] == "model_refused"]
    assert "there is no model version 'no-such-version'" in refused["message"]
    verdict = job.await_clean_verdict()
    assert verdict.predictions == last
    scored = Counter((one["role"], one["model_version"]) for one in job.committed(Topic.PREDICTIONS))
    assert scored.keys() == {("active", active), ("shadow", other), ("active", other)}
    assert scored["active", active] + scored["active", other] == last
