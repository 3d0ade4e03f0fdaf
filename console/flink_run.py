"""One ``flink run``: at once, or made ready and held back until it is known from which state the job starts."""

from __future__ import annotations

import os
import subprocess
import uuid
from typing import IO, TYPE_CHECKING

from console.errors import CommandError
from console.stack.class_data import ClassData
from console.stack.flink_home import FlinkHome
from console.state_form import leaves_behind
from jobs.settings import PROJECT_ROOT
from jobs.start import START_OPTION

if TYPE_CHECKING:
    from jobs.settings import Settings

JOB_NAME = "tickcast"

PROGRAM = PROJECT_ROOT / "jobs" / "main.py"
_SUBMIT_TIMEOUT_S = 180
_PROGRAM_ENDED = "org.apache.flink.client.program.ProgramAbortException"
_UNMATCHED = "Cannot map checkpoint/savepoint state"
_END_S = 5.0
_PIPE = "start-of-"


class FlinkRun:
    """Hands the job to the cluster.

    Most of a submission is the client's start and the job's translation: some seven seconds of computing, for which no
    JobManager is needed, nor the state to start from. :meth:`prepare` does that ahead.

    Args:
        settings: All settings. The job's program gets them from its environment, this process's own but for its topics'
            prefix, where it ends to read, parallelism and folder.
        name: The job's.

    Attributes:
        job_id: The id that the job will have.
        parallelism: Parallel subtasks of each operator.
        log: All that `flink run` says.
    """

    def __init__(self, settings: Settings, name: str = JOB_NAME) -> None:
        self._name = name
        self.job_id = uuid.uuid4().hex
        self.parallelism = settings.flink.parallelism
        self._settings = settings
        self._home = FlinkHome(settings)
        self._start = settings.home / "run" / f"{_PIPE}{self.job_id}"
        self.log = settings.home / "logs" / "submit.log"
        self._class_data = ClassData(settings.home)
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._held: int | None = None

    @staticmethod
    def clear_leftovers(settings: Settings) -> None:
        """Remove the pipes of a process that was killed; the programs that waited at them have ended with it."""
        for pipe in (settings.home / "run").glob(f"{_PIPE}*"):
            pipe.unlink()

    def prepare(self) -> None:
        """Start client and program, and have them wait for :meth:`submit`; they end with this process."""
        # A submission by hand may come first, and has its own.
        self.log = self.log.with_name("submit-in-reserve.log")
        self._start.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self._start, 0o600)
        # Open for both, so that neither side waits for the other here, and the program sees when this process ends.
        self._held = os.open(self._start, os.O_RDWR | os.O_CLOEXEC)
        self._spawn([*("--python", str(PROGRAM)), START_OPTION, str(self._start)])

    @property
    def prepared(self) -> bool:
        """Whether a client waits, or is about to."""
        return self._held is not None and self._process is not None and self._process.poll() is None

    def submit(self, start: str) -> None:
        """Hand the job over.

        Args:
            start: Savepoint or checkpoint that it starts from; empty for a start without state.

        Raises:
            CommandError: It was refused.
        """
        leaving = leaves_behind(start)
        if self.prepared and self._held is not None and not leaving:
            os.write(self._held, f"{start}\n".encode())
        else:
            self.drop()
            restored = ("--fromSavepoint", start) if start else ()
            self._spawn([*(("--allowNonRestoredState",) if leaving else ()), *restored, "--python", str(PROGRAM)])
        assert self._process is not None  # noqa: S101 - it has just been spawned, or was prepared
        try:
            self._process.wait(_SUBMIT_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise CommandError(
                f"`flink run` was not done after {_SUBMIT_TIMEOUT_S} s; see the JobManager's log"
            ) from error
        finally:
            self.drop()
        said = self.log.read_text(encoding="utf-8", errors="replace")
        submitted = f"Job has been submitted with JobID {self.job_id}" in said
        self._class_data.keep(self.log.stem, useful=submitted)
        if not submitted:
            cause = explained(refusal(said), start)
            raise CommandError(f"the job was not submitted: {cause} (all that `flink run` said is in {self.log})")

    def drop(self) -> None:
        """End client and program, if they are there."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_END_S)
        if self._held is not None:
            os.close(self._held)
            self._held = None
            self._start.unlink(missing_ok=True)
        if self._output is not None:
            self._output.close()

    def _spawn(self, program: list[str]) -> None:
        options = {
            "pipeline.name": self._name,
            # Not among the documented options, but what Flink's own application mode fixes a job's id with.
            "$internal.pipeline.job-id": self.job_id,
            "parallelism.default": self.parallelism,
            "execution.checkpointing.interval": f"{self._settings.flink.checkpoint_interval_ms} ms",
            "execution.checkpointing.dir": self._home.checkpoint_directory(),
            "execution.checkpointing.savepoint-dir": self._home.savepoint_directory(),
        }
        client = self._home.command("flink", "run", "--target", "remote", "--detached").with_log(
            self._home.log_file("client")
        )
        environment = {
            **os.environ,
            **client.environment,
            "TICKCAST_STACK__HOME": str(self._settings.home),
            "TICKCAST_KAFKA__TOPIC_PREFIX": self._settings.kafka.topic_prefix,
            "TICKCAST_FLINK__BOUNDED": str(self._settings.flink.bounded),
            "TICKCAST_FLINK__PARALLELISM": str(self.parallelism),
        }
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._output = self.log.open("wb")
        line = self._class_data.used_by(self.log.stem, client.line)
        self._process = subprocess.Popen(
            [*line, *(f"-D{name}={value}" for name, value in options.items()), *program],
            env=environment,
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )


def refusal(said: str) -> str:
    """Why ``flink run`` submitted nothing, in one line out of the hundreds that it prints.

    The reason stands before the stack trace with which Flink reports that the program has ended: it
    is the innermost cause of a Java exception, or the last line of the program itself.
    """
    before = said.partition(_PROGRAM_ENDED)[0]
    lines = [line for line in before.splitlines() if line.strip() and not line.startswith(("\t", "    "))]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or ["it said nothing"])[-1].strip()


def explained(cause: str, start: str) -> str:
    """A cause of Flink's, with what to do about it where it is one that an upgrade meets.

    Args:
        cause: What Flink said.
        start: Savepoint or checkpoint that the job was to start from.
    """
    if _UNMATCHED not in cause:
        return cause
    return (
        f"the state in {start} holds an operator that this job no longer has, because its uid or the topology around it"
        " has changed: start the version that wrote it, or start over with `tickcast submit --fresh` and empty topics"
    )
