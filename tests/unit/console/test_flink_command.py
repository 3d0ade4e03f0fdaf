from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from console.errors import CommandError
from console.stack.flink_command import flink_command

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """\
#!/bin/sh
echo asked >> "$FLINK_CONF_DIR/../asked"
memory=$("$JAVA_HOME/bin/java" -classpath x org.apache.flink.runtime.util.bash.BashJavaUtils)
export FLINK_BIN_DIR=/bin/of/flink UNREAD=1
exec "$JAVA_HOME/bin/java" "$memory" -Dlog.file=/a/log -classpath "$FLINK_LIB_DIR/a.jar:::" Main "$@"
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A Flink home in which the real `java` answers with an option, and nothing of another one's variables."""
    for name in [name for name in os.environ if name.startswith("FLINK_")]:
        monkeypatch.delenv(name)
    for name in ("conf", "lib", "cache", "jdk/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("a: 1\n")
    for name, text in (("start.sh", SCRIPT), ("jdk/bin/java", "#!/bin/sh\necho -Xmx1g\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "lib" / "a.jar").symlink_to(tmp_path / "a-1.0.jar")
    return {
        "JAVA_HOME": str(tmp_path / "jdk"),
        "FLINK_CONF_DIR": str(tmp_path / "conf"),
        "FLINK_LIB_DIR": str(tmp_path / "lib"),
    }


def asked(home: Path) -> int:
    return len((home / "asked").read_text().splitlines())


def test_the_command_is_what_the_script_would_start_with_what_flink_reads_of_its_exports(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    command = flink_command(tmp_path / "start.sh", ["a b", "c"], environment, tmp_path / "cache")
    java = f"{environment['JAVA_HOME']}/bin/java"
    classpath = ["-classpath", str(tmp_path / "a-1.0.jar")]
    assert command.line == [java, "-Xmx1g", "-Dlog.file=/a/log", *classpath, "Main", "a b", "c"]
    assert command.environment == {**environment, "FLINK_BIN_DIR": "/bin/of/flink"}
    assert "JAVA_HOME" not in os.environ or os.environ["JAVA_HOME"] != environment["JAVA_HOME"]


def test_the_script_is_asked_again_only_when_configuration_or_arguments_have_changed(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    def command(*arguments: str) -> None:
        flink_command(tmp_path / "start.sh", arguments, environment, tmp_path / "cache")

    command()
    command()
    assert asked(tmp_path) == 1
    command("more")
    assert asked(tmp_path) == 2
    (tmp_path / "conf" / "config.yaml").write_text("a: 2\n")
    command()
    assert asked(tmp_path) == 3


def test_log_and_configuration_are_set_without_asking(tmp_path: Path, environment: dict[str, str]) -> None:
    command = flink_command(tmp_path / "start.sh", [], environment, tmp_path / "cache")
    changed = command.with_log(tmp_path / "own.log").configured("a.b", "c")
    assert changed.line[2] == f"-Dlog.file={tmp_path / 'own.log'}"
    assert changed.line[-3:] == ["Main", "-D", "a.b=c"]


def test_a_script_that_starts_nothing_is_an_error_with_its_last_words(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "start.sh").write_text("#!/bin/sh\necho no memory >&2\nexit 1\n")
    with pytest.raises(CommandError, match="no memory"):
        flink_command(tmp_path / "start.sh", [], environment, tmp_path / "cache")
