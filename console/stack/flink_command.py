"""Starting Flink's programs as its own scripts do, without asking them each time.

A script of Flink's starts two more JVMs to read the configuration before it starts the one that is wanted: three
CPU seconds, at the worst moment, when something has died. So each script runs once, with a `java` that writes down
what it was called with, and from then on that is what is started, until the configuration changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT_S = 120
_COMMAND_FILE, _JAVA = "TICKCAST_FLINK_COMMAND", "TICKCAST_FLINK_JAVA"
_EXPORTED = ("FLINK_BIN_DIR", "FLINK_OPT_DIR", "FLINK_PLUGINS_DIR")
"""What Flink's programs read of all that its scripts export."""
_LOG_FILE, _CLASSPATH = "-Dlog.file=", "-classpath"
_SCRIPT = f"""\
#!/bin/sh
for argument; do
  case "$argument" in
    -XshowSettings*|*.BashJavaUtils) exec "${_JAVA}" "$@";;
  esac
done
printf '%s\\0' "$@" > "${_COMMAND_FILE}.arguments"
env -0 > "${_COMMAND_FILE}.environment"
"""


class FlinkCommand(NamedTuple):
    """What a script of Flink's ends in."""

    line: list[str]
    environment: dict[str, str]
    """Variables to set on top of the caller's own."""

    def with_log(self, file: Path) -> FlinkCommand:
        """The same, logging to a file of its own."""
        line = [f"{_LOG_FILE}{file}" if part.startswith(_LOG_FILE) else part for part in self.line]
        return FlinkCommand(line, self.environment)

    def configured(self, name: str, value: str) -> FlinkCommand:
        """The same, with one more value of Flink's configuration."""
        return FlinkCommand([*self.line, "-D", f"{name}={value}"], self.environment)


def flink_command(script: Path, arguments: Sequence[str], environment: Mapping[str, str], cache: Path) -> FlinkCommand:
    """The command that one of Flink's scripts starts in the end.

    Args:
        script: The script.
        arguments: Its arguments.
        environment: Its variables: `JAVA_HOME`, `FLINK_CONF_DIR` and `FLINK_LIB_DIR` among them.
        cache: Folder for what was found out.

    Raises:
        CommandError: The script ended without starting anything.
    """
    remembered = cache / f"{_digest(script, arguments, environment)}.json"
    if remembered.exists():
        return FlinkCommand(**json.loads(remembered.read_text(encoding="utf-8")))
    found = _ask(script, arguments, environment, cache)
    scratch = remembered.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(found._asdict()), encoding="utf-8")
    scratch.replace(remembered)
    return found


def _ask(script: Path, arguments: Sequence[str], environment: Mapping[str, str], cache: Path) -> FlinkCommand:
    real = Path(environment["JAVA_HOME"]) / "bin" / "java"
    stand_in = cache / "java" / "bin" / "java"
    stand_in.parent.mkdir(parents=True, exist_ok=True)
    stand_in.write_text(_SCRIPT, encoding="utf-8")
    stand_in.chmod(0o700)
    written = cache / f"{script.name}.{os.getpid()}"
    own = {
        **os.environ,
        **environment,
        "JAVA_HOME": str(stand_in.parents[1]),
        _JAVA: str(real),
        _COMMAND_FILE: str(written),
    }
    answer = subprocess.run(
        [str(script), *arguments], env=own, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    parts, variables = Path(f"{written}.arguments"), Path(f"{written}.environment")
    if not variables.exists():
        raise CommandError(f"{script} started nothing: {(answer.stderr or answer.stdout).strip()[-500:]}")
    line = parts.read_bytes().decode().split("\0")[:-1]
    pairs = (entry.partition("=") for entry in variables.read_bytes().decode().split("\0")[:-1])
    exported = {name: value for name, _, value in pairs if name in _EXPORTED}
    parts.unlink()
    variables.unlink()
    return FlinkCommand([str(real), *_resolved(line)], {**environment, **exported})


def _resolved(line: list[str]) -> list[str]:
    """The same with the jars themselves instead of links to them: one and the same classpath in every stack."""
    after = line.index(_CLASSPATH) + 1
    jars = [str(Path(entry).resolve()) for entry in line[after].split(os.pathsep) if entry]
    return [*line[:after], os.pathsep.join(jars), *line[after + 1 :]]


def _digest(script: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps([str(script), list(arguments), sorted(environment.items())]).encode())
    for file in sorted(Path(environment["FLINK_CONF_DIR"]).iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    for link in sorted(Path(environment["FLINK_LIB_DIR"]).iterdir()):
        digest.update(str(link.resolve()).encode())
    return digest.hexdigest()[:16]
