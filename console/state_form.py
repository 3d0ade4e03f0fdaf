"""The form of a job's state, noted beside its savepoints and checkpoints: none starts from what it can't read.

Flink refuses a savepoint with state of an operator that the job no longer has, unless it is told to leave that behind;
of those that are gone on purpose the state is left behind. It does not notice when Python runs in another mode, and
restores empty keyed state; nor when the bytes are of a form that the code has never heard of.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from console.errors import CommandError
from state import codec

READABLE = frozenset({3, codec.VERSION})
"""Forms of a symbol's memory that this code reads: its own and the one before (:mod:`state.form_3`)."""

OPERATORS = 2
"""Which operators have state; another number where one that had some is gone. 1: each topic had a sink of its own. What
those still had to commit is in their state, but for a savepoint with which the job was stopped."""

_FILE = "tickcast.json"
_MODE = "python.execution-mode"


@dataclass(frozen=True)
class StateForm:
    """What must fit between whoever wrote a state and whoever reads it.

    Attributes:
        state_version: Form of the bytes of a symbol's memory.
        execution_mode: Flink's `python.execution-mode`.
        operators: Which operators have state.
    """

    state_version: int
    execution_mode: str
    operators: int = 1


def present_form(configuration: Path) -> StateForm:
    """The form that a job submitted now would write.

    Args:
        configuration: Folder with Flink's `config.yaml`.
    """
    file = configuration / "config.yaml"
    values = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    return StateForm(codec.VERSION, values.get(_MODE, "process"), OPERATORS)


def note_form(place: str, form: StateForm) -> None:
    """Write a form beside a state; where this machine can't write, nothing is noted.

    Args:
        place: URI of a savepoint, or of the folder with a job's checkpoints.
        form: What it has.
    """
    if folder := _local(place):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FILE).write_text(json.dumps(asdict(form)), encoding="utf-8")


def require_readable(start: str, present: StateForm) -> None:
    """See that a job of the present form can take up a state.

    A state without a note, such as one written by Flink's own command, is left to Flink and to the code that reads it.

    Args:
        start: URI of a savepoint, a checkpoint, or the folder with a job's checkpoints.
        present: The form of the job to be started.

    Raises:
        CommandError: It can't; the sentence says why and what to do.
    """
    written = _noted(start)
    if written is None:
        return
    if written.execution_mode != present.execution_mode:
        raise CommandError(
            f"the state in {start} was written with {_MODE}: {written.execution_mode} and would be restored empty with"
            f" {present.execution_mode}: set {_MODE} in flink-conf/config.yaml back, then `tickcast down` and"
            " `tickcast up`"
        )
    if written.state_version not in READABLE:
        readable = ", ".join(str(version) for version in sorted(READABLE))
        raise CommandError(
            f"the state in {start} has form {written.state_version} and this tickcast reads form {readable}: start it"
            " with the version that wrote it, or upgrade through the versions between"
        )
    if written.operators < present.operators and Path(urlsplit(start).path).name.startswith("chk-"):
        raise CommandError(
            f"the checkpoint {start} was written by a tickcast whose every topic had a sink of its own, and may hold"
            " results that are not committed yet: start it once more with that version, and stop it there with"
            " `tickcast stop`"
        )


def leaves_behind(start: str) -> bool:
    """Whether a state has parts of operators that are gone on purpose.

    Args:
        start: URI of a savepoint or a checkpoint.
    """
    written = _noted(start)
    return written is not None and written.operators < OPERATORS


def _noted(start: str) -> StateForm | None:
    folder = _local(start)
    if folder is None:
        return None
    for file in (folder / _FILE, folder.parent / _FILE):
        if file.exists():
            return StateForm(**json.loads(file.read_text(encoding="utf-8")))
    return None


def _local(place: str) -> Path | None:
    parts = urlsplit(place)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None
