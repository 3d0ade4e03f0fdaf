"""Waiting, with the job translated, for the state that it is to start from."""

from __future__ import annotations

import argparse
import os
import select
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

START_OPTION = "--start-from-line-of"


def start_line(arguments: Sequence[str]) -> str:
    """Savepoint or checkpoint that the program is told to start from; empty: what `flink run` was told.

    Args:
        arguments: The program's own. With :data:`START_OPTION` and a named pipe the state is the one line that will be
            written into that, however long it takes.

    Raises:
        SystemExit: If whoever had the pipe has ended without a word.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument(START_OPTION, dest="pipe", type=Path)
    pipe = parser.parse_args(arguments).pipe
    if pipe is None:
        return ""
    # Not blocking: to open a pipe that nobody has open for writing any more would wait for ever.
    source = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    line = b""
    while not line.endswith(b"\n"):
        try:
            part = os.read(source, 4096)
        except BlockingIOError:
            select.select([source], [], [])
            continue
        if not part:
            raise SystemExit("nobody is left to say from which state the job starts")
        line += part
    os.close(source)
    return line.decode().rstrip("\n")
