"""Keeping a second command out while a first is at work."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def alone(lock_file: Path, otherwise: str) -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends.

    Args:
        lock_file: File that stands for what is done.
        otherwise: Sentence for whoever comes second.

    Raises:
        CommandError: Someone else holds it.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError(otherwise) from error
        yield
