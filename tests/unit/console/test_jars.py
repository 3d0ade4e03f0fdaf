from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from console.errors import CommandError
from console.stack.jars import cache_folder, fetched, jars

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only program on the PATH; tests write what it does."""
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return program


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_file_that_is_not_the_expected_one_is_refused_and_not_kept(maven: Path) -> None:
    write(
        maven,
        'for option; do case $option in -DoutputDirectory=*) echo forged > "${option#*=}/forged.jar";; esac; done',
    )
    with pytest.raises(CommandError, match=r"are not those of .*SHA256SUMS"):
        jars("connector")
    assert not fetched()
    assert list(cache_folder().rglob("*.jar")) == []


def test_a_repository_out_of_reach_is_said_with_what_maven_said(maven: Path) -> None:
    write(maven, "echo '[ERROR] Could not transfer artifact: Connection refused'; exit 1")
    with pytest.raises(CommandError, match=r"could not be fetched.*try again.*Connection refused") as raised:
        jars("broker")
    assert "\n" not in str(raised.value)
