"""Looks for inputs that are neither taken nor refused, guided by which code they reach: what `make fuzz` runs.

    python tests/fuzz/search.py TARGET [libFuzzer's options]

A find stays in tests/fuzz/corpus/TARGET as crash-…; give it a name, and the tests try it again from then on.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["state", "feeds", "msgpack", "csv"]):
    from tests.fuzz.targets import CORPUS, TARGETS, seeds


def main() -> None:
    """Search until a find, or until libFuzzer's options say to stop."""
    name, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds(name)):
            (Path(folder) / f"{number}").write_bytes(data)
        found = CORPUS / name / "crash-"
        found.parent.mkdir(parents=True, exist_ok=True)
        arguments = [sys.argv[0], f"-artifact_prefix={found}", *options, folder]
        atheris.Setup(arguments, TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
