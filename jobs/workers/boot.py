"""``python -m jobs.workers.boot MODULE …``: PyFlink's start of a worker, tuned (`jobs.workers.tuning`)."""

from __future__ import annotations

import runpy
import sys

from jobs.workers.tuning import tune


def main() -> None:
    """Runs the module that the first argument names, as `python -m` would."""
    tune()
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
