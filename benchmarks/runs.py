"""One contestant at work: started on an assignment, watched, ended."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol, Self

import psutil

from benchmarks.assignment import Assignment
from benchmarks.bench_stack import FOLDER
from benchmarks.environments import PEERS, interpreter
from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.flink_run import refusal
from console.job import submit_job
from console.stack.flink_home import FlinkHome
from console.stack.jars import jars
from console.stack.java import java_home
from console.stack.ports import free_port
from console.stack.process import DetachedProcess
from jobs.settings import PROJECT_ROOT
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.bench_stack import BenchStack
    from benchmarks.field import Contestant
    from jobs.settings import Settings

_SUBMIT_TIMEOUT_S = 180


class Run(Protocol):
    """A contestant at work."""

    def check(self) -> None:
        """Raises CommandError if it works no more."""

    def processes(self) -> list[psutil.Process]:
        """The processes it consists of, without the broker."""


class Started:
    """Starts a contestant and ends it again, with all that belongs to it; a context manager.

    Args:
        contestant: Who.
        stack: Where.
        settings: Of the stack; its topic prefix names the ticks.
        workers: How many workers share the work.
        run_id: A name that no other run has.
    """

    def __init__(
        self, contestant: Contestant, stack: BenchStack, settings: Settings, workers: int, run_id: str
    ) -> None:
        self._contestant = contestant
        self._stack = stack
        self._settings = settings
        self._folder = FOLDER / "runs" / run_id
        self.assignment = Assignment(
            bootstrap_servers=settings.kafka.bootstrap_servers,
            ticks=topic_name(Topic.TICKS, settings.kafka),
            predictions=f"out-{run_id}",
            group=f"peer-{run_id}",
            folder=str(self._folder),
            partitions=settings.kafka.partitions,
            workers=workers,
            worker=0,
            commit_ms=settings.flink.checkpoint_interval_ms,
            addresses=",".join(f"127.0.0.1:{free_port()}" for _ in range(workers)),
        )
        self._workers: list[DetachedProcess] = []
        self.predictions = self.assignment.predictions
        """The topic that the predictions go to."""

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        try:
            if self._contestant.engine == "tickcast":
                self.predictions = topic_name(Topic.PREDICTIONS, self._settings.kafka)
                self._stack.empty_results(self._settings.kafka.topic_prefix)
                self._stack.settings(self._settings.kafka.topic_prefix, self.assignment.workers)
                self._stack.start("flink")
            else:
                self._stack.new_topic(self.predictions, self.assignment.partitions)
                if self._contestant.engine == "flink":
                    self._stack.start("flink")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def start(self) -> None:
        """Sets it to work; raises CommandError if it does not start."""
        engine = self._contestant.engine
        if engine == "tickcast":
            submit_job(self._settings)
        elif engine == "flink":
            self._flink_run()
        else:
            python = interpreter(self._contestant.peer)
            environment = self._peer_environment()
            for worker in range(self.assignment.workers if engine == "processes" else 1):
                process = DetachedProcess(self._folder, f"{self._contestant.name}-{worker}")
                self._workers.append(process)
                own = self.assignment.as_environment() | {"BENCH_WORKER": str(worker)}
                process.spawn(
                    [python, "-m", f"benchmarks.contestants.{self._contestant.name}"], environment | own, PROJECT_ROOT
                )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._workers:
            process.stop()
        if self._contestant.engine in ("tickcast", "flink"):
            self._stack.stop("flink")
            shutil.rmtree(self._settings.home / "checkpoints", ignore_errors=True)
            (self._settings.home / "job.json").unlink(missing_ok=True)
        if error is None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def remove_results(self) -> None:
        """Removes the topics it has written."""
        if self._contestant.engine != "tickcast":
            # Quix and Faust name their changelogs after the group.
            names = (self.predictions, self.assignment.group, f"changelog__{self.assignment.group}")
            self._stack.remove_others(names)

    def check(self) -> None:
        """Raises CommandError if it works no more."""
        for process in self._workers:
            if process.pid is None:
                raise CommandError(f"{process.name} ended{process.last_words()}")
        if not self._workers:
            rest = FlinkRest(self._settings.flink.rest_address)
            job = rest.jobs()[0]
            if job.ended or job.state in ("FAILING", "RESTARTING") or (cause := rest.root_cause(job.id)):
                cause = rest.root_cause(job.id)
                raise CommandError(f"the job is {job.state}: {cause}")

    def processes(self) -> list[psutil.Process]:
        """The processes it consists of, without the broker."""
        if self._workers:
            roots = [process.pid for process in self._workers]
        else:
            names = ("jobmanager", "taskmanager", "nursery")
            roots = [DetachedProcess(self._settings.home, name).pid for name in names]
        found = []
        for pid in roots:
            if pid is not None:
                root = psutil.Process(pid)
                found += [root, *root.children(recursive=True)]
        return found

    def _peer_environment(self) -> dict[str, str]:
        environment = {"PYTHONPATH": str(PROJECT_ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        if self._contestant.name.startswith("spark"):
            environment["BENCH_JARS"] = ",".join(str(jar) for jar in jars("spark", PEERS / "maven"))
            environment["JAVA_HOME"] = str(java_home())
            environment["PYSPARK_PYTHON"] = str(interpreter(self._contestant.peer))
        return environment

    def _flink_run(self) -> None:
        flink = FlinkHome(self._settings)
        flink.prepare_client()
        options = (f"parallelism.default={self.assignment.workers}", *self._contestant.options)
        program = PROJECT_ROOT / "benchmarks" / "contestants" / f"{self._contestant.name}.py"
        client = flink.command("flink", "run", "--target", "remote", "--detached")
        answer = subprocess.run(
            [
                *client.line,
                *(f"-D{option}" for option in options),
                *("--python", str(program)),
            ],
            env={**os.environ, **client.environment, **self.assignment.as_environment()},
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SUBMIT_TIMEOUT_S,
            check=False,
        )
        if "Job has been submitted with JobID" not in answer.stdout:
            raise CommandError(f"the job was not submitted: {refusal(answer.stdout)}")
