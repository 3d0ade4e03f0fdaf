"""The job on the cluster: submitting, savepoints, stopping, replacing it by newer code or another parallelism."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from console.errors import CommandError
from console.flink_rest import FlinkRest, Job
from console.flink_run import JOB_NAME, FlinkRun, explained
from console.job_record import JobRecord
from console.kafka_io import open_admin
from console.stack.component import Health
from console.stack.flink_home import FlinkHome
from console.stack.lock import alone
from console.state_form import note_form, present_form, require_readable
from jobs.settings import Settings

_RUNNING_TIMEOUT_S = 180
_SAVEPOINT_TIMEOUT_S = 300
_POLL_S = 0.25

_JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")]


def submit(
    from_savepoint: Annotated[
        str, typer.Option("--from-savepoint", metavar="PATH", help="Savepoint or checkpoint to start from.")
    ] = "",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start without state: every tick is read, and its results written, again.")
    ] = False,
    warm_up: Annotated[
        bool,
        typer.Option(
            "--warm-up",
            help="Before the market opens: have new processes rehearse on made-up trades first, which leave no trace.",
        ),
    ] = False,
    as_json: _JsonOption = False,
) -> None:
    """Submit the job and wait until every task runs; it goes on where its last run in this stack ended."""
    settings = Settings()
    start = from_savepoint or ("" if fresh else JobRecord(settings.home).latest_state())
    _tell_running(submit_job(settings, start, warm_up=warm_up), start, settings, as_json=as_json)


def savepoint(as_json: _JsonOption = False) -> None:
    """Write a savepoint; the job goes on."""
    settings = Settings()
    rest = FlinkRest(settings.flink.rest_address)
    flink = FlinkHome(settings)
    path = rest.savepoint(_running_job(rest).id, flink.savepoint_directory(), _SAVEPOINT_TIMEOUT_S)
    note_form(path, present_form(flink.configuration))
    _tell_savepoint(path, as_json=as_json)


def stop(as_json: _JsonOption = False) -> None:
    """Stop the job with a savepoint, from which the next `tickcast submit` starts."""
    _tell_savepoint(stop_job(Settings()), as_json=as_json)


def upgrade(as_json: _JsonOption = False) -> None:
    """Stop the job with a savepoint and start the current code from it."""
    settings = Settings()
    _require_readable_by_successor(settings)
    start = stop_job(settings)
    _tell_running(submit_job(settings, start), start, settings, as_json=as_json)


def rescale(
    parallelism: Annotated[int, typer.Argument(min=1, metavar="N", help="Parallel subtasks of each operator.")],
    as_json: _JsonOption = False,
) -> None:
    """Stop the job with a savepoint and start it from there with N parallel subtasks."""
    settings = Settings()
    settings = with_parallelism(settings, parallelism)
    _require_slots(FlinkRest(settings.flink.rest_address), parallelism)
    _require_readable_by_successor(settings)
    start = stop_job(settings)
    _tell_running(submit_job(settings, start), start, settings, as_json=as_json)


def with_parallelism(settings: Settings, parallelism: int) -> Settings:
    """The same settings with another number of parallel subtasks."""
    return settings.model_copy(update={"flink": settings.flink.model_copy(update={"parallelism": parallelism})})


def as_submitted(settings: Settings, record: JobRecord) -> Settings:
    """The same settings with the parallelism that the job was last submitted with."""
    return with_parallelism(settings, record.parallelism(settings.flink.parallelism))


def submit_job(
    settings: Settings,
    start: str = "",
    *,
    warm_up: bool = False,
    to_starting_cluster: bool = False,
    run: FlinkRun | None = None,
) -> Job:
    """Hand the job to the cluster through ``flink run`` and wait until every task runs.

    Args:
        settings: All settings; the job's program gets them from its environment.
        start: Path of a savepoint or checkpoint; empty for a start without state.
        warm_up: Let the cluster rehearse before (`console.rehearsal`).
        to_starting_cluster: Do not ask the JobManager what it runs: it is only just being started, and
            has minutes to come up while the job is translated.
        run: A submission that was prepared; one is begun otherwise.

    Raises:
        CommandError: It already runs, can't read that state, was refused, or did not come up in time, or no broker
            lets us in.
    """
    rest = FlinkRest(settings.flink.rest_address)
    otherwise = "the job is being submitted already; see `tickcast status`, and try again if it does not come up"
    with alone(settings.home / "run" / "submit.lock", otherwise):
        if not to_starting_cluster:
            _require_slots(rest, settings.flink.parallelism)
            _require_none_running(rest)
            # The job itself would try for ever to log on to a broker that refuses it.
            open_admin(settings.kafka).close()
        if warm_up:
            from console.rehearsal import rehearse  # noqa: PLC0415 - it brings the simulator

            rehearse(settings)
        return _hand_over(rest, settings, start, run or FlinkRun(settings))


def stop_job(settings: Settings) -> str:
    """Stop the job with a savepoint and return its path.

    Raises:
        CommandError: It does not run, or the savepoint failed.
    """
    rest, flink = FlinkRest(settings.flink.rest_address), FlinkHome(settings)
    path = rest.stop(_running_job(rest).id, flink.savepoint_directory(), _SAVEPOINT_TIMEOUT_S)
    note_form(path, present_form(flink.configuration))
    JobRecord(settings.home).stopped(path)
    return path


def job_health(settings: Settings) -> Health:
    """How the job is; one that was never submitted, or was stopped, is no failure."""
    rest = FlinkRest(settings.flink.rest_address)
    job = next((job for job in rest.jobs() if job.name == JOB_NAME and not job.ended), None)
    if job is None:
        if JobRecord(settings.home).expected_to_run():
            return Health(healthy=False, detail="was submitted but runs no more; `tickcast submit` takes it up again")
        return Health(healthy=True, detail="not submitted")
    tasks = rest.task_states(job.id)
    if set(tasks) == {"RUNNING"}:
        return Health(healthy=True, detail=f"{job.state}, {tasks['RUNNING']} tasks, id {job.id}")
    states = ", ".join(f"{count} {state}" for state, count in sorted(tasks.items()))
    cause = rest.root_cause(job.id)
    return Health(healthy=False, detail=f"{job.state}, tasks: {states}" + (f"; last failure: {cause}" if cause else ""))


def _hand_over(rest: FlinkRest, settings: Settings, start: str, run: FlinkRun) -> Job:
    """Submit the job and wait until it runs, keeping the record of it right however that ends."""
    record, flink, job_id = JobRecord(settings.home), FlinkHome(settings), run.job_id
    flink.prepare_client()
    form = present_form(flink.configuration)
    if start:
        require_readable(start, form)
    note_form(_checkpoints_of(job_id, flink), form)
    before = record.read()
    record.submitted(
        job_id,
        start,
        settings.flink.parallelism,
        checkpoints=flink.checkpoint_directory(),
        savepoints=flink.savepoint_directory(),
    )
    try:
        run.submit(start)
        return _await_running(rest, job_id, start)
    except CommandError:
        lives = any(job.id == job_id and not job.ended for job in rest.jobs())
        if not lives and record.latest_state() == start:
            record.withdrawn(before)
        raise


def _require_readable_by_successor(settings: Settings) -> None:
    """See that what runs now could be taken up, before it is stopped."""
    flink = FlinkHome(settings)
    if job_id := JobRecord(settings.home).job_id():
        require_readable(_checkpoints_of(job_id, flink), present_form(flink.configuration))


def _checkpoints_of(job_id: str, flink: FlinkHome) -> str:
    return f"{flink.checkpoint_directory().rstrip('/')}/{job_id}"


def _await_running(rest: FlinkRest, job_id: str, start: str) -> Job:
    deadline = time.monotonic() + _RUNNING_TIMEOUT_S
    while time.monotonic() < deadline:
        job = next(job for job in rest.jobs() if job.id == job_id)
        if job.ended:
            raise CommandError(
                f"the job ended as {job.state} while starting: {explained(rest.root_cause(job_id), start)}"
            )
        if set(rest.task_states(job_id)) == {"RUNNING"}:
            return job
        time.sleep(_POLL_S)
    raise CommandError(
        f"not every task of the job ran after {_RUNNING_TIMEOUT_S} s"
        f" ({rest.root_cause(job_id) or 'no failure'}); see {rest.address}"
    )


def _running_job(rest: FlinkRest) -> Job:
    for job in rest.jobs():
        if job.name == JOB_NAME and not job.ended:
            return job
    raise CommandError(f"the job does not run on {rest.address}; start it with `tickcast submit`")


def _require_none_running(rest: FlinkRest) -> None:
    if running := [job for job in rest.jobs() if job.name == JOB_NAME and not job.ended]:
        raise CommandError(
            f"the job already runs ({running[0].state}, id {running[0].id}); stop it with `tickcast stop`, or replace"
            " it with `tickcast upgrade`"
        )


def _require_slots(rest: FlinkRest, parallelism: int) -> None:
    slots = rest.overview()["slots-total"]
    if slots < parallelism:
        raise CommandError(
            f"{parallelism} parallel subtasks need as many task slots and the cluster has {slots}: set"
            " TICKCAST_STACK__TASK_SLOTS, then `tickcast down` and `tickcast up`"
        )


def _tell_running(job: Job, start: str, settings: Settings, *, as_json: bool) -> None:
    address = f"{settings.flink.rest_address}/#/job/running/{job.id}"
    if as_json:
        typer.echo(json.dumps({"job_id": job.id, "address": address, "started_from": start or None}))
    else:
        typer.echo(f"The job runs{f', from {start}' if start else ''}: {address}")


def _tell_savepoint(path: str, *, as_json: bool) -> None:
    typer.echo(json.dumps({"savepoint": path}) if as_json else f"Savepoint: {path}")
