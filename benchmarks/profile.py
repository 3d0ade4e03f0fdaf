"""Where the time goes: a table by stage, taken from a job that is running under load.

``python -m benchmarks.profile --seconds 20`` asks three witnesses at once: Flink's own metrics (which task is busy), a
flight recording of the TaskManager's JVM (what its threads compute), and py-spy on each Python worker. CPU time of
each process is shared out among the stages by the samples that fall into them. Give the job something to do meanwhile:
a topic that it is behind in, or a feed at the rate of interest.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import requests
from rich.console import Console
from rich.table import Table

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.stack.process import DetachedProcess
from console.stack.python_workers import python_workers
from jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SOURCE, SINK, CROSSING, STATE, MODEL, PYTHON, SQL, RUNTIME, OTHER = (
    "JVM: source", "JVM: sink", "crossing, JVM's side", "Python: state and features", "Python: model",
    "Python: process functions", "JVM: SQL, joins, JSON", "JVM: rest of Flink", "JVM: other",
)  # fmt: skip
CROSSING_PYTHON = "crossing, Python's side"

_JVM_RULES = (
    (SINK, ("kafka.clients.producer", "connector.kafka.sink")),
    (SOURCE, ("kafka.clients.consumer", "connector.kafka.source", "connector.base.source")),
    (CROSSING, ("org.apache.beam", "api.runners.python", "fnexecution", "io.grpc", "operators.python", "apache.arrow",
                "io.netty.channel.epoll", "typeutils.serializers.python")),
    (SQL, ("flink.table", "flink.formats", "StreamExecCalc", "fasterxml.jackson", "BatchExecCalc")),
    (RUNTIME, ("org.apache.flink",)),
)  # fmt: skip
"""Stages by what a class's full name contains; of a stack the frame nearest its top that fits any of them decides."""

_PYTHON_RULES = (
    (MODEL, ("/xgboost/", "/udfs/")),
    (PYTHON, ("/state/symbol_process.py", "/state/market_process.py")),
    (STATE, ("/state/", "/numba/")),
    (
        CROSSING_PYTHON,
        ("/jobs/workers/", "pyflink/", "apache_beam/", "/grpc/", "/pyarrow/", "/pandas/", "/threading.py", "/queue.py"),
    ),
)
_PYTHON_OTHER = "Python: other"

_SAMPLE = re.compile(r"^jdk\.(?:ExecutionSample|NativeMethodSample) \{$")
_METRICS = ("numRecordsInPerSecond", "numRecordsOutPerSecond", "busyTimeMsPerSecond", "backPressuredTimeMsPerSecond")


class Stage(NamedTuple):
    """One row of the table.

    Attributes:
        name: The stage.
        cores: CPU seconds a second.
    """

    name: str
    cores: float


def jvm_stage(frames: Sequence[str]) -> str:
    """The stage of a Java stack, its top first."""
    return next((stage for frame in frames for stage, parts in _JVM_RULES if any(p in frame for p in parts)), OTHER)


def python_stage(frames: Sequence[str]) -> str:
    """The stage of a Python stack, its top first."""
    return next(
        (stage for frame in frames for stage, parts in _PYTHON_RULES if any(p in frame for p in parts)), _PYTHON_OTHER
    )


def jvm_samples(lines: Iterable[str]) -> Counter[str]:
    """Samples by stage out of what ``jfr print`` prints; waiting in native code is no work and is left out."""
    counts: Counter[str] = Counter()
    frames: list[str] | None = None
    for line in map(str.strip, lines):
        if _SAMPLE.match(line):
            frames = []
        elif frames is not None and line == "}":
            if frames and not _waits(frames[0]):
                counts[jvm_stage(frames)] += 1
            frames = None
        elif frames is not None and " line:" in line:
            frames.append(line)
    return counts


def _waits(frame: str) -> bool:
    return any(
        name in frame for name in ("EPoll.wait", "epollWait", "Native.epoll", "accept0", "NativeThread", "poll0")
    )


def python_samples(lines: Iterable[str]) -> Counter[str]:
    """Samples by stage out of py-spy's raw form, `outermost;…;innermost count`."""
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if stack:
            counts[python_stage(stack.split(";")[::-1])] += int(count)
    return counts


def shared_out(cores: float, samples: Counter[str]) -> list[Stage]:
    """A process's CPU time among its stages, in proportion to the samples."""
    total = sum(samples.values())
    return [Stage(name, cores * count / total) for name, count in samples.items()] if total else []


def take_profile(settings: Settings, seconds: int) -> tuple[list[Stage], list[dict[str, Any]]]:
    """Stages, and Flink's tasks with their metrics.

    Raises:
        CommandError: No job runs here, or a tool is missing.
    """
    pid = DetachedProcess(settings.home, "taskmanager").pid
    if pid is None:
        raise CommandError("no TaskManager of this stack runs; `tickcast up`, then `tickcast submit`")
    spy = Path(sys.executable).with_name("py-spy")
    for tool, remedy in ((str(spy), "install the extra `bench`, as `make bench` does"), ("jcmd", "install a JDK")):
        if shutil.which(tool) is None:
            raise CommandError(f"{tool} is not there: {remedy}")
    manager = psutil.Process(pid)
    workers = python_workers(pid)
    with tempfile.TemporaryDirectory() as scratch:
        recording = Path(scratch) / "job.jfr"
        _jcmd(pid, "JFR.start", "name=tickcast", "settings=profile", f"filename={recording}")
        before = {process.pid: _cpu_s(process) for process in (manager, *workers)}
        started = time.monotonic()
        spies = {
            worker.pid: subprocess.Popen(
                [
                    str(spy), "record", "--pid", str(worker.pid), "--duration", str(seconds), "--rate", "100",
                    "--format", "raw", "--output", f"{scratch}/{worker.pid}.raw",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for worker in workers
        }  # fmt: skip
        tasks = []
        time.sleep(seconds)
        elapsed = time.monotonic() - started
        cores = {process.pid: (_cpu_s(process) - before[process.pid]) / elapsed for process in (manager, *workers)}
        tasks = flink_tasks(FlinkRest(settings.flink.rest_address))
        for one in spies.values():
            one.wait(timeout=60)
        _jcmd(pid, "JFR.stop", "name=tickcast", f"filename={recording}")
        printed = subprocess.run(
            [
                "jfr",
                "print",
                "--events",
                "jdk.ExecutionSample,jdk.NativeMethodSample",
                "--stack-depth",
                "64",
                recording,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        stages = Counter[str]()
        for stage in shared_out(cores[pid], jvm_samples(printed.stdout.splitlines())):
            stages[stage.name] += stage.cores  # type: ignore[assignment] # a counter of fractions
        for worker in workers:
            raw = Path(scratch) / f"{worker.pid}.raw"
            lines = raw.read_text(encoding="utf-8").splitlines() if raw.exists() else []
            for stage in shared_out(cores[worker.pid], python_samples(lines)):
                stages[stage.name] += stage.cores  # type: ignore[assignment]
    return [Stage(name, float(used)) for name, used in stages.most_common()], tasks


def flink_tasks(rest: FlinkRest) -> list[dict[str, Any]]:
    """Every task of the running job with its metrics, summed over its subtasks."""
    job = next((job for job in rest.jobs() if not job.ended), None)
    if job is None:
        raise CommandError("no job runs; start it with `tickcast submit`")
    address = f"{rest.address}/jobs/{job.id}"
    tasks = []
    for vertex in requests.get(address, timeout=10).json()["vertices"]:
        found = requests.get(
            f"{address}/vertices/{vertex['id']}/subtasks/metrics", {"get": ",".join(_METRICS), "agg": "sum"}, timeout=10
        ).json()
        tasks.append({"name": vertex["name"], **{one["id"]: one.get("sum", 0.0) for one in found}})
    return tasks


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _jcmd(pid: int, *arguments: str) -> None:
    answer = subprocess.run(["jcmd", str(pid), *arguments], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise CommandError(f"the JVM could not be recorded: {(answer.stderr or answer.stdout).strip()[:200]}")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="Where the running job's time goes, stage by stage.")
    parser.add_argument("--seconds", type=int, default=20)
    seconds = parser.parse_args().seconds
    console = Console(width=140)
    try:
        stages, tasks = take_profile(Settings(), seconds)
    except CommandError as error:
        console.print(f"profile: {error}", markup=False)
        sys.exit(1)
    used = sum(stage.cores for stage in stages)
    rate = max((task["numRecordsInPerSecond"] for task in tasks), default=0.0)
    table = Table("stage", "cores", "share", "µs a record", title=f"{used:.2f} cores, {rate:,.0f} records/s")
    for stage in stages:
        each = f"{stage.cores / rate * 1e6:.1f}" if rate else ""
        table.add_row(stage.name, f"{stage.cores:.3f}", f"{stage.cores / used:.1%}", each)
    console.print(table)
    table = Table("task", "in/s", "out/s", "busy ms/s", "backpressured ms/s")
    for task in tasks:
        table.add_row(task["name"][:80], *(f"{task[name]:,.0f}" for name in _METRICS))
    console.print(table)


if __name__ == "__main__":
    main()
