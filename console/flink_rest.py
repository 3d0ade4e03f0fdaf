"""Flink's REST interface: what runs, and stopping it with its state. Every wait has a bound."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import requests

from console.errors import CommandError

_REQUEST_TIMEOUT_S = 10
_POLL_S = 0.2
_FINAL_STATES = frozenset({"FINISHED", "CANCELED", "FAILED"})


class Job(NamedTuple):
    """A job as the cluster knows it."""

    id: str
    name: str
    state: str

    @property
    def ended(self) -> bool:
        """Whether it will never run again under this id."""
        return self.state in _FINAL_STATES


class Checkpoints(NamedTuple):
    """Numbers of a job's checkpoints; savepoints count among them."""

    completed: int
    failed: int
    restored: int
    """How often the job has taken one up."""
    restored_id: int | None
    """Number of the one that it took up last."""


class FlinkRest:
    """Client of a JobManager.

    Every method raises CommandError if the JobManager does not answer or refuses.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def overview(self) -> dict[str, Any]:
        """The cluster in numbers, such as ``taskmanagers``, ``slots-total`` and ``slots-available``."""
        return self._get("/overview")

    def last_heartbeats(self) -> dict[str, float]:
        """When each registered TaskManager, by its id, last gave a sign of life, in seconds of the epoch."""
        managers = self._get("/taskmanagers")["taskmanagers"]
        return {manager["id"]: manager["timeSinceLastHeartbeat"] / 1000 for manager in managers}

    def jobs(self) -> list[Job]:
        """All jobs, the latest started first, ended ones included."""
        jobs = sorted(self._get("/jobs/overview")["jobs"], key=lambda job: job["start-time"], reverse=True)
        return [Job(job["jid"], job["name"], job["state"]) for job in jobs]

    def task_states(self, job_id: str) -> dict[str, int]:
        """Number of the job's tasks by state, such as ``{"RUNNING": 8}``; states without a task are left out."""
        counts: dict[str, int] = {}
        for vertex in self._get(f"/jobs/{job_id}")["vertices"]:
            for state, count in vertex["tasks"].items():
                if count:
                    counts[state] = counts.get(state, 0) + count
        return counts

    def checkpoints(self, job_id: str) -> Checkpoints:
        """What has become of the job's checkpoints since it was submitted."""
        answer = self._get(f"/jobs/{job_id}/checkpoints")
        counts, restored = answer["counts"], answer["latest"]["restored"]
        return Checkpoints(
            completed=counts["completed"],
            failed=counts["failed"],
            restored=counts["restored"],
            restored_id=None if restored is None else int(restored["id"]),
        )

    def newest_checkpoint(self, job_id: str) -> tuple[int, int]:
        """Bytes of state in the job's newest completed checkpoint, and the ms that it took; zeros if there is none."""
        newest = self._get(f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
        return (0, 0) if newest is None else (int(newest["state_size"]), int(newest["end_to_end_duration"]))

    def used_heap(self, taskmanager: str) -> int:
        """Bytes of a TaskManager's heap that are in use, garbage included."""
        name = "Status.JVM.Memory.Heap.Used"
        values: Any = self._get(f"/taskmanagers/{taskmanager}/metrics?get={name}")
        return int(float(values[0]["value"])) if values else 0

    def root_cause(self, job_id: str) -> str:
        """First line of the job's latest failure; empty if it has not failed."""
        history = self._get(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        lines = history[0]["stacktrace"].splitlines() if history else []
        causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
        return str(causes[-1] if causes else next(iter(lines), ""))

    def savepoint(self, job_id: str, directory: str, timeout_s: float) -> str:
        """Write a savepoint and return its path; the job goes on."""
        body = {"target-directory": directory, "cancel-job": False}
        return self._await_savepoint(job_id, self._post(f"/jobs/{job_id}/savepoints", body), timeout_s)

    def stop(self, job_id: str, directory: str, timeout_s: float) -> str:
        """Write a savepoint, stop the job at it, and return the savepoint's path."""
        body = {"targetDirectory": directory, "drain": False}
        return self._await_savepoint(job_id, self._post(f"/jobs/{job_id}/stop", body), timeout_s)

    def cancel(self, job_id: str) -> None:
        """End a job where it is, without a savepoint."""
        self._request("PATCH", f"/jobs/{job_id}?mode=cancel")

    def _await_savepoint(self, job_id: str, trigger: dict[str, Any], timeout_s: float) -> str:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            answer = self._get(f"/jobs/{job_id}/savepoints/{trigger['request-id']}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "location" in operation:
                    return str(operation["location"])
                cause = operation["failure-cause"]["stack-trace"].splitlines()[0]
                raise CommandError(f"the savepoint failed, the job goes on; see {self.address}: {cause}")
            time.sleep(_POLL_S)
        raise CommandError(
            f"the savepoint was not complete after {timeout_s:.0f} s; see the job's checkpoints at {self.address}"
        )

    def _get(self, path: str) -> dict[str, Any]:
        return self._request("GET", path)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._request("POST", path, body)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = requests.request(method, self.address + path, json=body, timeout=_REQUEST_TIMEOUT_S)
            answer: dict[str, Any] = response.json()
        except requests.RequestException as error:
            raise CommandError(
                f"no Flink JobManager answers at {self.address} ({type(error).__name__}); start the stack with"
                " `tickcast up`, or set TICKCAST_FLINK__REST_ADDRESS to the one you mean"
            ) from error
        if not response.ok:
            said = str(answer.get("errors", response.reason)).splitlines()[0]
            raise CommandError(f"Flink refused {method} {path} at {self.address}: {said}")
        return answer
