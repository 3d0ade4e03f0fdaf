"""The peers' own environments: made with uv when first needed, out of the product's."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from console.errors import CommandError
from jobs.settings import PROJECT_ROOT

PEERS = Path(__file__).with_name("peers")
_FOLDER = PROJECT_ROOT / ".tickcast" / "bench" / "environments"
_TIMEOUT_S = 900


def interpreter(peer: str) -> Path:
    """The Python of a peer's environment, which is made now unless it is there and as its lock file says.

    Args:
        peer: Name of a folder below `benchmarks/peers`.

    Raises:
        CommandError: The environment can't be made here; the sentence says why.
    """
    lock = PEERS / peer / "requirements.lock"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    folder = _FOLDER / peer
    python, mark = folder / "bin" / "python", folder / ".lock"
    if not (python.exists() and mark.exists() and mark.read_text(encoding="ascii") == wanted):
        _uv("venv", "--quiet", "--clear", "--python", "3.11", str(folder))
        _uv("pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(lock))
        mark.write_text(wanted, encoding="ascii")
    return python


def _uv(*arguments: str) -> None:
    uv = PROJECT_ROOT / ".venv" / "bin" / "uv"
    program = str(uv) if uv.exists() else shutil.which("uv")
    if program is None:
        raise CommandError("the peers' environments are made with uv, which is not here; run `make setup`")
    # As in the Makefile: uv takes the index and the certificates that pip was told to use.
    environment = os.environ | {"UV_NATIVE_TLS": "true"}
    if index := os.environ.get("PIP_INDEX_URL"):
        environment["UV_DEFAULT_INDEX"] = index
    try:
        subprocess.run(
            [program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = [line for line in (getattr(error, "stdout", "") or str(error)).splitlines() if line.strip()]
        raise CommandError(
            f"the environment could not be made: {said[-1] if said else type(error).__name__}"
        ) from error
