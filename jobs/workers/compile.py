"""Compiles ahead of time what workers run as machine code: ``python -m jobs.workers.compile``."""

from __future__ import annotations

from state.warm import warm_up
from udfs import forest_kernel  # noqa: F401 - to import it is to compile it

if __name__ == "__main__":
    warm_up()
