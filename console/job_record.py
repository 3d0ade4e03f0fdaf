"""What this stack remembers of its job when the cluster no longer does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator


class JobRecord:
    """A small file, so that the next submission goes on where the last run ended.

    A standalone cluster forgets its jobs when the JobManager dies or the stack goes down, while the
    topics keep the results. Starting again without state would write them all a second time.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "job.json"

    def submitted(self, job_id: str, checkpoint_directory: str, start: str) -> None:
        """Remember a job that was handed to the cluster, and what it started from."""
        self._write({"id": job_id, "checkpoint_directory": checkpoint_directory, "start": start})

    def stopped(self, savepoint: str) -> None:
        """Remember where a job was stopped."""
        self._write({"savepoint": savepoint})

    def expected_to_run(self) -> bool:
        """Whether the job was submitted and has not been stopped since."""
        return "id" in self._read()

    def latest_state(self) -> str:
        """Savepoint or checkpoint from which to go on; empty if the job never ran.

        Raises:
            CommandError: The checkpoints are somewhere this machine can't list.
        """
        record = self._read()
        if "id" not in record:
            return str(record.get("savepoint", ""))
        location = urlsplit(record["checkpoint_directory"])
        if location.scheme not in ("", "file"):
            raise CommandError(
                f"the job has run before and its checkpoints are in {record['checkpoint_directory']}: name the one to"
                f" go on from with --from-savepoint …/{record['id']}/chk-N, or start over with --fresh"
            )
        checkpoints = sorted(_complete_checkpoints(Path(unquote(location.path)) / record["id"]))
        return checkpoints[-1][1] if checkpoints else str(record["start"])

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {}
        record: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        return record

    def _write(self, record: dict[str, Any]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._file.with_suffix(".new")
        scratch.write_text(json.dumps(record), encoding="utf-8")
        scratch.replace(self._file)


def _complete_checkpoints(folder: Path) -> Iterator[tuple[int, str]]:
    for metadata in folder.glob("chk-*/_metadata"):
        yield int(metadata.parent.name.removeprefix("chk-")), metadata.parent.as_uri()
