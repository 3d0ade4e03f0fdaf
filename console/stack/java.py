"""Finding a Java 17."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from console.errors import CommandError

JAVA_VERSION = 17
_INSTALLED = ("/usr/lib/jvm", "/Library/Java/JavaVirtualMachines")
_ASK_TIMEOUT_S = 20


@cache
def java_home() -> Path:
    """Home of a Java 17: of ``JAVA_HOME``, the ``java`` on the PATH, or one installed in the usual places.

    Raises:
        CommandError: There is none.
    """
    found: list[str] = []
    for java in _candidates():
        version = _major_version(java)
        if version == JAVA_VERSION:
            return java.resolve().parents[1]
        found.append(f"{java} is Java {version}" if version else f"{java} does not run")
    raise CommandError(
        f"Java {JAVA_VERSION} is needed{f' ({found[0]})' if found else ' and no java was found'}: install it, for"
        f" instance with `apt-get install openjdk-{JAVA_VERSION}-jre-headless`, or set JAVA_HOME to where it is"
    )


def _candidates() -> list[Path]:
    homes = [os.environ.get("JAVA_HOME", "")]
    on_path = shutil.which("java")
    installed = [
        java
        for root in _INSTALLED
        for pattern in ("*/bin/java", "*/*/Home/bin/java")
        for java in Path(root).glob(pattern)
    ]
    candidates = [*(Path(home) / "bin" / "java" for home in homes if home), *([Path(on_path)] if on_path else [])]
    return [*candidates, *sorted(java for java in installed if str(JAVA_VERSION) in str(java))]


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
