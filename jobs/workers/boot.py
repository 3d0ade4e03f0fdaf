"""``python -m jobs.workers.boot MODULE …``: PyFlink's start of a worker, whose operations tell when a bundle ends."""

from __future__ import annotations

import runpy
import sys

from jobs.workers.bundles import install


def main() -> None:
    """Runs the module that the first argument names, as `python -m` would."""
    install()
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
