"""A symbol's memory in an engine's key-value state: the newest snapshot, and the entries of the ticks since."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.work import Row, Work
    from state.tick import Tick

FOLD_AFTER = 128
"""Ticks of a symbol after which a new snapshot is written."""

_SNAPSHOT = "snapshot"


def take(
    work: Work,
    tick: Tick,
    partition: int,
    offset: int,
    get: Callable[[str], bytes | None],
    put: Callable[[str, bytes], None],
) -> Row:
    """Takes a tick in, bringing the memory back where this worker does not hold it, and writes one element.

    Each element begins with its tick's offset: keys are used again after each snapshot, and older ones don't count.

    Args:
        work: The worker's work.
        tick: The tick.
        partition: Its partition.
        offset: Its offset.
        get: Reads from the symbol's state.
        put: Writes to it.
    """
    symbol = tick.symbol
    if not work.knows(symbol) and (snapshot := get(_SNAPSHOT)) is not None:
        entries = [entry for number in range(FOLD_AFTER) if (entry := get(str(number))) is not None]
        younger = sorted(entry for entry in entries if entry[:8] > snapshot[:8])
        work.recall(symbol, [element[8:] for element in (snapshot, *younger)])
    row = work.take(tick, partition, offset)
    age = offset.to_bytes(8, "big")
    if row.sequence == 1 or row.sequence % FOLD_AFTER == 0:
        put(_SNAPSHOT, age + work.snapshot(symbol))
    else:
        put(str(row.sequence % FOLD_AFTER), age + work.entry(tick, partition, offset))
    return row
