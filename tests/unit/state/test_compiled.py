from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import state
import udfs
from jobs.settings import PROJECT_ROOT

KERNELS = {path.stem for path in Path(state.__path__[0]).glob("*_kernel.py")}


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=PROJECT_ROOT, env=os.environ | environment, timeout=120
    ).stdout.strip()


@pytest.mark.parametrize(
    "module", ["state.symbol_state", "state.market_state", "state.codec", "state.tick", "udfs.scorer", "jobs.main"]
)
def test_who_computes_nothing_does_not_wait_for_the_compiler(module: str) -> None:
    assert run(f"import sys, {module}; print('numba' in sys.modules)") == "False"


def test_every_kernel_and_all_that_it_takes_its_numbers_from_decide_which_code_is_kept() -> None:
    from state.compiled import _SOURCES  # noqa: PLC0415 - this is about the compiler

    sources = Path(state.__path__[0])
    known = {path.stem for path in sources.glob("*.py")}
    waiting, used = set(KERNELS), set()
    while waiting:
        name = waiting.pop()
        used.add(name)
        text = (sources / f"{name}.py").read_text("utf-8")
        imported = {
            other for other in known if f"from state.{other} import" in text or f"from state import {other}" in text
        }
        waiting |= imported - used
    assert used == set(_SOURCES)


def test_every_kernel_is_compiled_ahead_of_time() -> None:
    kernels = {f"state.{name}" for name in KERNELS} | {
        f"udfs.{path.stem}" for path in Path(udfs.__path__[0]).glob("*_kernel.py")
    }
    assert "udfs.forest_kernel" in kernels
    ahead = "runpy.run_module('jobs.workers.compile', run_name='__main__')"
    loaded = run(f"import runpy, sys; {ahead}; print(*sys.modules)")
    assert kernels <= set(loaded.split())


def test_code_is_kept_where_the_user_wants_it_under_the_name_of_its_sources(tmp_path: Path) -> None:
    code = """
from pathlib import Path
import state.compiled as c
print(Path(c.numba.config.CACHE_DIR).name)
@c.compiled_as("int64(int64)")
def twice(number):
    return 2 * number
assert twice(4) == 8
"""
    module = tmp_path / "kernel_of_a_test.py"
    module.write_text(code, "utf-8")
    names = {run(f"import runpy; runpy.run_path({str(module)!r})", NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)}
    [name] = names
    assert name.startswith("kernels-")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name != "__pycache__"] == [name]
    assert list((tmp_path / name).rglob("*.nbc"))
