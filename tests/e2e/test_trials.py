"""Failures at random moments and a steady half minute, each on a stack of its own and told by the command alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

KILLS = ("worker", "taskmanager", "jobmanager", "broker", "redis", "postgres", "commit", "pause")


def run_trial(environment: dict[str, str], *arguments: str, timeout_s: float) -> dict[str, Any]:
    """What `tickcast … --json` prints; it must end with exit code 0."""
    answer = subprocess.run(
        [sys.executable, "-m", "console.main", *arguments, "--json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    result: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return result


def assert_nothing_got_lost(result: dict[str, Any]) -> None:
    assert (result["lost"], result["duplicated"], result["mismatched"]) == (0, 0, 0)
    assert (result["redis_contradicted"], result["history_missing"]) == ([], 0)
    verify = result["verify"]
    # What a dead broker kept back for longer than the out-of-orderness bound is late.
    assert verify["predictions"] + verify["late"] == verify["ticks_in"] > 0


@pytest.mark.timeout(900)
def test_a_worker_a_job_manager_a_broker_and_a_commit_die_and_nothing_is_lost_or_doubled(
    new_environment: Callable[[], dict[str, str]],
) -> None:
    kinds = ("worker", "jobmanager", "broker", "commit")
    result = run_trial(
        new_environment(), "chaos", "--rounds", str(len(kinds)), "--kinds", ",".join(kinds), timeout_s=900
    )
    assert result["kills"] == dict.fromkeys(kinds, 1)
    assert_nothing_got_lost(result)


@pytest.mark.timeout(600)
def test_a_steady_half_minute_is_sampled_and_clean(new_environment: Callable[[], dict[str, str]]) -> None:
    result = run_trial(new_environment(), "soak", "--minutes", "0.5", "--rate", "200", timeout_s=600)
    assert result["samples"] > 10
    assert {"jobmanager_mb", "taskmanager_mb", "workers_mb", "checkpoint_kb", "checkpoint_ms"} <= result[
        "trends"
    ].keys()
    assert all(trend["worst"] > 0 for name, trend in result["trends"].items() if name != "lag")
    assert_nothing_got_lost(result)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_twenty_kills_of_all_kinds_lose_and_double_nothing_and_take_fifteen_seconds_at_most(
    new_environment: Callable[[], dict[str, str]],
) -> None:
    result = run_trial(new_environment(), "chaos", "--rounds", "20", timeout_s=3600)
    assert sum(result["kills"].values()) == 20
    assert set(result["kills"]) == set(KILLS)
    assert_nothing_got_lost(result)
    assert result["worst_recovery_s"] <= 15, result["recovery_s"]


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_full_disk_and_a_broker_out_of_reach_lose_and_double_nothing(
    new_environment: Callable[[], dict[str, str]],
) -> None:
    result = run_trial(new_environment(), "chaos", "--rounds", "4", "--kinds", "disk,network", timeout_s=1800)
    assert result["kills"] == {"disk": 2, "network": 2}
    assert_nothing_got_lost(result)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_at_five_times_the_sustainable_rate_the_lag_grows_and_falls_and_memory_stays_bounded(
    new_environment: Callable[[], dict[str, str]],
) -> None:
    result = run_trial(new_environment(), "soak", "--overload", "--minutes", "2", timeout_s=3600)
    assert result["lag_worst"] > 10 * result["sustainable_ticks_per_s"]
    assert result["lag_last"] == 0
    # The process size that flink-conf/config.yaml allows it.
    assert result["trends"]["taskmanager_mb"]["worst"] < 2_700
    assert_nothing_got_lost(result)
