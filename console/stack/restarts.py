"""When a part that failed may be started again, and the record of what was."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from console.stack.component import Component

JOB = "job"
"""The job's name among the parts that are started again."""
_STABLE_S = 10.0


class RestartPolicy:
    """At once, then slower and slower while it does not help, and in the end no more.

    A restart belongs to the same row as the one before unless the part has done its work for ten
    seconds in between.

    Args:
        first_delay_s: Wait before the second restart in a row; it doubles with each one after.
        longest_delay_s: No wait is longer.
        most_in_a_row: After so many restarts in a row there is no further one.
    """

    def __init__(self, first_delay_s: float = 0.5, longest_delay_s: float = 30.0, most_in_a_row: int = 10) -> None:
        self.most_in_a_row = most_in_a_row
        self._first_delay_s = first_delay_s
        self._longest_delay_s = longest_delay_s
        self._in_a_row = 0
        self._well_since: float | None = None

    def well(self, now: float) -> None:
        """The part does its work.

        Args:
            now: Seconds of a clock that does not go back.
        """
        if self._well_since is None:
            self._well_since = now
        if now - self._well_since >= _STABLE_S:
            self._in_a_row = 0

    def next_delay(self) -> float | None:
        """The part has failed: seconds to wait before its next restart, None to give up."""
        self._well_since = None
        if self._in_a_row >= self.most_in_a_row:
            return None
        self._in_a_row += 1
        if self._in_a_row == 1:
            return 0.0
        return min(self._first_delay_s * 2.0 ** (self._in_a_row - 2), self._longest_delay_s)


@dataclass(frozen=True)
class Restarts:
    """What the supervisor has done for one part since it was started."""

    count: int = 0
    last_reason: str = ""
    last_time: str = ""
    """ISO 8601, UTC."""
    given_up: str = ""
    """Sentence that says why the part is not started any more; empty while it is."""


def restarts_of(component: Component, restarts: Mapping[str, Restarts]) -> Restarts:
    """The restarts of all parts of a component, put together."""
    parts = (*component.parts(), *component.standbys())
    entries = [restarts[part.name] for part in parts if part.name in restarts]
    if not entries:
        return Restarts()
    return replace(
        max(entries, key=lambda entry: entry.last_time),
        count=sum(entry.count for entry in entries),
        given_up=next((entry.given_up for entry in entries if entry.given_up), ""),
    )


class RestartLog:
    """The supervisor's record, in a file that ``tickcast status`` reads.

    Args:
        home: The stack's folder.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / "run" / "restarts.json"
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Begin anew."""
        self._file.unlink(missing_ok=True)

    def restarted(self, part: str, reason: str) -> None:
        """Note that a part is started again."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            restarts = self.read()
            count = restarts.get(part, Restarts()).count + 1
            self._write({**restarts, part: Restarts(count, reason, time)})

    def gave_up(self, part: str, sentence: str) -> None:
        """Note that a part is not started any more."""
        with self._lock:
            restarts = self.read()
            self._write({**restarts, part: replace(restarts.get(part, Restarts()), given_up=sentence)})

    def read(self) -> dict[str, Restarts]:
        """Restarts by part; parts that were never restarted are left out."""
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return {part: Restarts(**values) for part, values in json.loads(text).items()}

    def _write(self, restarts: dict[str, Restarts]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._file.with_suffix(".new")
        scratch.write_text(json.dumps({part: asdict(entry) for part, entry in restarts.items()}), encoding="utf-8")
        scratch.replace(self._file)
