"""Taking the job up again when the JobManager that ran it is no more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.job import as_submitted, submit_job
from console.job_record import JobRecord
from console.stack.job_reserve import JobReserve
from console.stack.restarts import JOB, RestartPolicy

if TYPE_CHECKING:
    from console.stack.restarts import RestartLog
    from jobs.settings import Settings

_LOOK_S = 0.2


class JobKeeper:
    """Submits the job again, from its newest retained checkpoint, when its JobManager is started again.

    A job that this stack did not run when the supervisor began stays where it is: whoever took the
    stack down decides when it goes on.

    Args:
        settings: All settings.
        record: Where restarts are recorded.
        stop: Ends the waits.
    """

    def __init__(self, settings: Settings, record: RestartLog, stop: threading.Event) -> None:
        self._settings = settings
        self._rest = FlinkRest(settings.flink.rest_address)
        self._job = JobRecord(settings.home)
        self._record = record
        self._stop = stop
        self._lost = threading.Event()
        self._reserve = JobReserve(settings, self._job)
        self._left_alone = "" if self._known() else self._job.job_id()
        self._log = structlog.get_logger("supervise").bind(part=JOB)

    def jobmanager_lost(self) -> None:
        """Say that the JobManager is gone, and all it knew, and is about to be started again."""
        self._lost.set()

    @property
    def has_a_job(self) -> bool:
        """Whether there is one to take up."""
        return self._job.expected_to_run() and self._job.job_id() != self._left_alone

    def run(self) -> None:
        """Take the job up whenever it is lost, until stopped."""
        while not self._stop.is_set():
            if self._lost.wait(_LOOK_S):
                self._lost.clear()
                self._take_up()
            elif self.has_a_job:
                self._reserve.keep()
            else:
                self._reserve.drop()
        self._reserve.drop()

    def _take_up(self) -> None:
        policy = RestartPolicy()
        if self.has_a_job:
            self._record.restarted(JOB, "its JobManager was lost")
        while self.has_a_job:
            delay_s = policy.next_delay()
            if delay_s is None:
                self._give_up(policy.most_in_a_row)
                return
            if self._stop.wait(delay_s):
                return
            try:
                # A submission that failed may have reached the JobManager nevertheless.
                if delay_s and self._known():
                    return
                self._submit()
            except CommandError as error:
                self._log.error("the submission failed", reason=str(error))
            except Exception:  # noqa: BLE001 - an unforeseen failure must not leave the job without its keeper
                self._log.exception("the submission failed")
            else:
                return

    def _submit(self) -> None:
        start = self._job.latest_state()
        self._log.warning("submitting", start=start)
        settings = as_submitted(self._settings, self._job)
        # Translating the job takes longer than a JobManager's start: the one need not wait for the other.
        job = submit_job(settings, start, to_starting_cluster=True, run=self._reserve.take())
        self._log.info("submitted", job=job.id)

    def _known(self) -> bool:
        return any(job.id == self._job.job_id() for job in self._rest.jobs())

    def _give_up(self, submissions: int) -> None:
        log = self._settings.home / "logs" / "supervise.log"
        sentence = f"given up after {submissions} submissions that failed: see {log} and call `tickcast submit`"
        self._log.error(sentence)
        self._record.gave_up(JOB, sentence)
