"""Arithmetic compiled to machine code, and where that code is kept between processes.

Compiled with numba, without its fast-math: the results are those of IEEE 754, operation by operation, hence the same
on every machine. Compiling takes seconds; the outcome is kept on disk in a folder named after the sources and numba's
version, so that no process ever runs the code of older ones. :mod:`jobs.workers.compile` fills it ahead of time.
"""

from __future__ import annotations

import os
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

# PyFlink's worker puts a function of its own in the place of `print`, which numba looks up in the module that it says
# it is from, and does not find there (PyFlink 2.2.1, numba 0.61).
setattr(sys.modules[print.__module__], print.__name__, print)

import numba  # noqa: E402 - see above

if TYPE_CHECKING:
    from collections.abc import Callable

_SOURCES = (
    "compiled", "feature_kernel", "features", "indicators", "market_kernel", "memory", "symbol_kernel", "window",
    "window_kernel",
)  # fmt: skip
"""Modules whose text decides what is compiled: numba itself only looks at the file of the function it is asked for."""

types = numba.types
"""Of arguments, for those signatures that a text cannot say."""

_F = TypeVar("_F", bound="Callable[..., Any]")


def compiled(function: _F) -> _F:
    """Compiles a function when it is first called, for the types that it is called with."""
    made: _F = numba.njit(cache=True, error_model="numpy")(function)
    return made


def compiled_as(signature: str | numba.core.typing.Signature) -> Callable[[_F], _F]:
    """Compiles a function at once, for these types alone."""
    made: Callable[[_F], _F] = numba.njit(signature, cache=True, error_model="numpy")
    return made


def _folder_of_code() -> Path:
    digest = sha256(numba.__version__.encode())
    here = Path(__file__).parent
    for name in _SOURCES:
        digest.update((here / f"{name}.py").read_bytes())
    name = f"kernels-{digest.hexdigest()[:16]}"
    given = os.environ.get("NUMBA_CACHE_DIR")
    homes = [Path(given)] if given else [here / "__pycache__", Path.home() / ".cache" / "tickcast"]
    for home in homes:
        folder = home / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.gettempdir()) / f"tickcast-{os.getuid()}" / name


numba.config.CACHE_DIR = str(_folder_of_code())
