"""`tickcast verify` as a process: what it prints, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from jobs.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable


class Ground(NamedTuple):
    """A deployment with right results, and the command against it."""

    deployment: Any
    results: dict[Topic, list[dict[str, Any]]]
    verify: Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def ground(make_deployment: Any, run_job: Any, two_day_log: list[Any], stack_environment: dict[str, str]) -> Ground:
    deployment, log = make_deployment(), two_day_log[:60]
    deployment.feed(log)
    results = run_job(deployment.settings, log)
    for topic, messages in results.items():
        deployment.write(topic, messages)
    prefix = deployment.settings.kafka.topic_prefix

    def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "console.main", "verify", *arguments],
            env={**os.environ, **stack_environment, "TICKCAST_KAFKA__TOPIC_PREFIX": prefix},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return Ground(deployment, results, verify)


def test_clean_results_end_with_exit_code_0_and_the_contracts_fields(ground: Ground) -> None:
    done = ground.verify("--json")
    assert (done.returncode, done.stderr) == (0, "")
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert {name: verdict[name] for name in ("lost", "duplicated", "mismatched", "clean")} == {
        "lost": 0, "duplicated": 0, "mismatched": 0, "clean": True,
    }  # fmt: skip
    assert verdict["ticks_in"] == 60
    assert verdict["ticks_in"] == sum(verdict[name] for name in ("predictions", "late", "duplicates", "dead_letters"))
    assert verdict["without_market"] == 0
    assert verdict["topics"].keys() == {topic.value for topic in ground.results}
    assert verdict["topics"]["predictions"] == {
        "messages": verdict["predictions"], "lost": 0, "duplicated": 0, "mismatched": 0, "pending": 0,
    }  # fmt: skip


def test_a_lost_message_ends_with_exit_code_1_and_is_shown_to_people_and_machines(ground: Ground) -> None:
    bars = ground.results[Topic.BARS]
    ground.deployment.replace(Topic.BARS, bars[1:])
    try:
        done = ground.verify()
        assert done.returncode == 1
        assert "lost 1, duplicated 0, mismatched 0" in done.stdout
        assert "not clean" in done.stdout
        verdict = json.loads(ground.verify("--json").stdout.splitlines()[-1])
        assert (verdict["lost"], verdict["clean"], verdict["topics"]["bars"]["lost"]) == (1, False, 1)
    finally:
        ground.deployment.replace(Topic.BARS, bars)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_version": "nepse-1999-01-01"}, "there is no model version 'nepse-1999-01-01'"),
        ({"source": {}}, "is not of this version's form"),
    ],
    ids=["an unknown model version", "a message of another form"],
)
def test_what_can_not_be_verified_is_said_in_one_sentence(
    change: dict[str, Any], sentence: str, ground: Ground
) -> None:
    first, *others = ground.results[Topic.PREDICTIONS]
    ground.deployment.replace(Topic.PREDICTIONS, [{**first, **change}, *others])
    try:
        done = ground.verify("--json")
    finally:
        ground.deployment.replace(Topic.PREDICTIONS, ground.results[Topic.PREDICTIONS])
    assert done.returncode == 1
    assert done.stderr.startswith("tickcast: ")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
