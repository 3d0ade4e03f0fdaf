"""`tickcast demo` as a newcomer runs it, on a small simulated day: everything is real but the exchange."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from console.demo import SIMULATED_FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(1200)

TRADES = 10_000
"""Of fewer the market would be silent for a minute now and then, which is a halt too."""
TIMEOUT_S = 540
PATIENT = {"TICKCAST_EVENT_TIME__IDLE_AFTER_S": "120", "TICKCAST_MARKET__IDLE_AFTER_S": "120"}
"""On a busy machine a partition of so few trades may seem idle, and what is late would be a matter of luck."""


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "console.main", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(environment: dict[str, str], *arguments: str) -> str:
    """Standard output of a `tickcast` that must succeed."""
    process = start(environment, *arguments)
    try:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def environment(new_environment: Callable[[], dict[str, str]]) -> Iterator[dict[str, str]]:
    variables = {**new_environment(), **PATIENT}
    yield variables
    run(variables, "down", "--purge")


@pytest.fixture(scope="module")
def result(environment: dict[str, str]) -> dict[str, Any]:
    """What `tickcast demo --json` says."""
    output = run(environment, "demo", "--trades", str(TRADES), "--json")
    said: dict[str, Any] = json.loads(output.splitlines()[-1])
    return said


def tail(environment: dict[str, str], topic: str) -> list[dict[str, Any]]:
    output = run(environment, "tail", topic, "--json", "--from-beginning", "--until-end")
    return [json.loads(line) for line in output.splitlines()]


def test_every_message_is_accounted_for_and_the_verdict_is_clean(result: dict[str, Any]) -> None:
    verdict = result["verify"]
    assert (verdict["lost"], verdict["duplicated"], verdict["mismatched"], verdict["pending"]) == (0, 0, 0, 0)
    assert verdict["clean"] is True
    sent = TRADES + SIMULATED_FAULTS.duplicates + SIMULATED_FAULTS.malformed
    assert result["ticks_in"] == verdict["ticks_in"] == sent
    assert verdict["duplicates"] == SIMULATED_FAULTS.duplicates
    assert verdict["dead_letters"] == SIMULATED_FAULTS.malformed
    # How far the watermark has come when a held-back tick arrives is a matter of arrival.
    assert verdict["late"] <= SIMULATED_FAULTS.late
    assert verdict["predictions"] + verdict["late"] == TRADES


def test_every_prediction_is_judged_and_the_day_is_timed_and_measured(result: dict[str, Any]) -> None:
    assert result["messages"]["outcomes"] == result["messages"]["predictions"] == result["verify"]["predictions"]
    assert result["messages"]["bars"] > 0
    assert result["throughput_ticks_per_s"] > 0
    for way in ("redis", "committed"):
        latency = result["latency_ms"][way]
        assert latency["ticks"] > TRADES // 5
        assert 0 < latency["p50"] <= latency["p99"]
    assert 0.2 < result["score"]["three_class"]["accuracy"] < 1


def test_the_days_halt_is_among_the_alerts(result: dict[str, Any], environment: dict[str, str]) -> None:
    del result
    alerts = tail(environment, "alerts")
    (began,) = [one for one in alerts if one["rule"] == "trading_halt"]
    (over,) = [one for one in alerts if one["rule"] == "trading_resumed"]
    minutes = (over["detail"]["end"] - over["detail"]["start"]) / 60_000
    assert minutes == pytest.approx(20, abs=0.5), "so few trades don't come at the very second"
    assert began["detail"]["start"] == over["detail"]["start"]
    assert any(one["symbol"] != over["symbol"] for one in alerts), "symbols have alerts of their own"


def test_a_second_demo_removes_the_first_and_can_be_interrupted_and_down_leaves_no_process(
    result: dict[str, Any], environment: dict[str, str]
) -> None:
    del result
    process = start(environment, "demo", "--trades", str(TRADES), "--json")
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "submitting" in line:
                break
        assert any("removing the former demo" in line for line in said), "".join(said)
        assert "submitting" in said[-1], "".join(said)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    run(environment, "down")
    home = environment["TICKCAST_STACK__HOME"]
    assert [said_of for process in psutil.process_iter() if home in (said_of := _said_of(process))] == []


def _said_of(process: psutil.Process) -> str:
    """Command line and home of a process."""
    try:
        return " ".join([*process.cmdline(), process.environ().get("TICKCAST_STACK__HOME", "")])
    except psutil.Error:
        return ""
