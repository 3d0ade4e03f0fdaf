from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from console.errors import CommandError
from console.stack.java import find_java

if TYPE_CHECKING:
    from pathlib import Path


def install(home: Path, version: str) -> Path:
    """Put a program into `home` that answers like a Java of this version."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    return java


def test_java_home_is_tried_before_the_path(tmp_path: Path) -> None:
    install(tmp_path / "a", "17.0.15")
    on_path = install(tmp_path / "b", "17.0.1")
    assert find_java(str(tmp_path / "a"), str(on_path), []) == tmp_path / "a"


def test_a_java_17_beside_the_one_on_the_path_is_found(tmp_path: Path) -> None:
    on_path = install(tmp_path / "old", "11.0.2")
    beside = install(tmp_path / "new", "17.0.15")
    assert find_java("", str(on_path), [beside]) == tmp_path / "new"


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2", "21.0.1"])
def test_another_java_is_named_in_the_sentence_with_the_remedy(tmp_path: Path, version: str) -> None:
    on_path = install(tmp_path / "other", version)
    with pytest.raises(
        CommandError, match=r"Java 17 is needed, and .*other/bin/java is Java \d+: install it"
    ) as raised:
        find_java("", str(on_path), [])
    assert "\n" not in str(raised.value)


def test_no_java_at_all_is_said_with_the_remedy() -> None:
    with pytest.raises(CommandError, match=r"no java was found: install it.*JAVA_HOME"):
        find_java("", None, [])
