"""Finding a Java 17."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

JAVA_VERSION = 17
_INSTALLATIONS = ("/usr/lib/jvm", "/Library/Java/JavaVirtualMachines")
_ASK_TIMEOUT_S = 20


@cache
def java_home() -> Path:
    """Home of the Java 17 that the stack uses.

    Raises:
        CommandError: There is none.
    """
    return find_java(os.environ.get("JAVA_HOME", ""), shutil.which("java"), _installed())


def find_java(home: str, on_path: str | None, installed: Sequence[Path]) -> Path:
    """Home of the first Java 17 among several.

    Args:
        home: Value of ``JAVA_HOME``, or empty.
        on_path: The ``java`` found on the PATH, if any.
        installed: Other ``java`` programs to try.

    Raises:
        CommandError: None of them is a Java 17.
    """
    found: list[str] = []
    candidates = [*([Path(home) / "bin" / "java"] if home else []), *([Path(on_path)] if on_path else []), *installed]
    for java in candidates:
        version = _major_version(java)
        if version == JAVA_VERSION:
            return java.resolve().parents[1]
        found.append(f"{java} is Java {version}" if version else f"{java} does not run")
    raise CommandError(
        f"Java {JAVA_VERSION} is needed, and {found[0] if found else 'no java was found'}: install it, for"
        f" instance with `apt-get install openjdk-{JAVA_VERSION}-jre-headless`, or set JAVA_HOME to where it is"
    )


def _installed() -> list[Path]:
    patterns = ("*/bin/java", "*/*/Home/bin/java")
    javas = [java for root in _INSTALLATIONS for pattern in patterns for java in Path(root).glob(pattern)]
    return sorted(java for java in javas if str(JAVA_VERSION) in str(java))


def _major_version(java: Path) -> int | None:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match.group(1)) if match else None


if __name__ == "__main__":
    # `make setup` asks before it installs anything.
    try:
        java_home()
    except CommandError as error:
        sys.exit(str(error))
