"""A submission of the running job, made ready while it runs well, for the moment in which its JobManager dies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from console.flink_run import FlinkRun
from console.job import as_submitted
from console.stack.restarts import JOB

if TYPE_CHECKING:
    from console.job_record import JobRecord
    from jobs.settings import Settings

_AFTER_S = 20.0
"""Getting ready takes seven seconds of computing: not while the job itself is only just starting."""


class JobReserve:
    """Keeps one submission ready.

    Args:
        settings: All settings.
        job: What is remembered of the job.
    """

    def __init__(self, settings: Settings, job: JobRecord) -> None:
        self._settings = settings
        self._job = job
        self._run: FlinkRun | None = None
        self._seen = ("", 0.0)
        self._log = structlog.get_logger("supervise").bind(part=JOB)
        FlinkRun.clear_leftovers(settings)

    def keep(self) -> None:
        """Make one ready if the job that runs has none yet; end one of a job that was stopped or replaced."""
        job_id, since = self._job.job_id(), self._seen[1]
        now = time.monotonic()
        if job_id != self._seen[0]:
            self.drop()
            since = now
        elif self._run is not None and not self._run.prepared:
            self._log.error("a submission in reserve has ended", log=str(self._run.log))
            self.drop()
            since = now
        elif job_id and self._run is None and now - since > _AFTER_S:
            self._run = FlinkRun(as_submitted(self._settings, self._job))
            self._run.prepare()
        self._seen = (job_id, since)

    def take(self) -> FlinkRun | None:
        """What is ready, once; None if nothing is."""
        run, self._run = self._run, None
        if run is not None and not run.prepared:
            run.drop()
            return None
        return run

    def drop(self) -> None:
        """End what is ready."""
        if self._run is not None:
            self._run.drop()
            self._run = None
