"""What a worker does once before its first tick; :mod:`jobs.workers.compile` does the slow part of it ahead of time."""

from __future__ import annotations

import gc

_NEW, _YOUNG, _OLD = 50_000, 20, 1_000
"""Thresholds of the garbage collector. Python's own make it walk again and again through all that the symbols remember,
in search of cycles that there are none of (5.4 to 5.6 k ticks/s in `benchmarks/README.md`)."""


def warm_up() -> None:
    """Compiles what is slow to compile, or finds it compiled, and sets all that is there aside from garbage."""
    # To import them is to compile them.
    from state import market_kernel, symbol_kernel  # noqa: F401, PLC0415

    gc.freeze()
    gc.set_threshold(_NEW, _YOUNG, _OLD)
