"""What this stack remembers of its job when the cluster no longer does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from console.errors import CommandError


class JobRecord:
    """A small file, so that the next submission goes on where the last run ended.

    A standalone cluster forgets its jobs when the JobManager dies or the stack goes down, while the
    topics keep the results. Starting again without state would write them all a second time.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "job.json"

    def submitted(self, job_id: str, start: str, parallelism: int, *, checkpoints: str, savepoints: str) -> None:
        """Remember a job that is about to be handed to the cluster.

        Before, not after: if whoever submits it is killed in between, the job must not run unknown,
        or the next run would start from where this one did and write everything a second time.

        Args:
            job_id: The id it will have.
            start: Savepoint or checkpoint that it starts from; empty for a start without state.
            parallelism: Parallel subtasks of each operator.
            checkpoints: URI of the folder that will hold a folder with its checkpoints.
            savepoints: URI of the folder that will hold its savepoints.
        """
        self._write(
            {
                "id": job_id,
                "start": start,
                "parallelism": parallelism,
                "checkpoint_directory": checkpoints,
                "savepoint_directory": savepoints,
            }
        )

    def withdrawn(self, before: dict[str, Any]) -> None:
        """Go back to what was remembered before a submission that the cluster does not know of."""
        self._write(before)

    def stopped(self, savepoint: str) -> None:
        """Remember where a job was stopped."""
        self._write({"savepoint": savepoint})

    def expected_to_run(self) -> bool:
        """Whether the job was submitted and has not been stopped since."""
        return "id" in self.read()

    def job_id(self) -> str:
        """Id of the job that was submitted last and not stopped since; empty if there is none."""
        return str(self.read().get("id", ""))

    def parallelism(self, otherwise: int) -> int:
        """Parallel subtasks that the job was last submitted with."""
        return int(self.read().get("parallelism", otherwise))

    def latest_state(self) -> str:
        """Savepoint or checkpoint from which to go on; empty if the job never ran.

        Raises:
            CommandError: The checkpoints are somewhere this machine can't list.
        """
        record = self.read()
        if "id" not in record:
            return str(record.get("savepoint", ""))
        checkpoints, savepoints = (urlsplit(record[f"{kind}_directory"]) for kind in ("checkpoint", "savepoint"))
        if checkpoints.scheme not in ("", "file"):
            raise CommandError(
                f"the job has run before and its checkpoints are in {record['checkpoint_directory']}: name the one to"
                f" go on from with --from-savepoint …/{record['id']}/chk-N, or start over with --fresh"
            )
        complete = [
            *(Path(unquote(checkpoints.path)) / record["id"]).glob("chk-*/_metadata"),
            # Whoever stopped the job may have been killed before noting its savepoint.
            *Path(unquote(savepoints.path)).glob(f"savepoint-{record['id'][:6]}-*/_metadata"),
        ]
        return max(complete, key=_age).parent.as_uri() if complete else str(record["start"])

    def read(self) -> dict[str, Any]:
        """All that is remembered."""
        if not self._file.exists():
            return {}
        record: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        return record

    def _write(self, record: dict[str, Any]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._file.with_suffix(".new")
        scratch.write_text(json.dumps(record), encoding="utf-8")
        scratch.replace(self._file)


def _age(metadata: Path) -> tuple[int, int]:
    """Sorts states by the time of their completion, and checkpoints of the same moment by their number."""
    number = metadata.parent.name.rpartition("-")[2]
    return metadata.stat().st_mtime_ns, int(number) if number.isdecimal() else 0
