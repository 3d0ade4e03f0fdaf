"""What Flink's own programs need around them: configuration, libraries, folders, environment."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from console.stack.flink_command import FlinkCommand, flink_command
from console.stack.jars import jars
from console.stack.java import java_home
from jobs.settings import PROJECT_ROOT
from jobs.workers.protocol import DIRECTORY_VARIABLE

if TYPE_CHECKING:
    from jobs.settings import Settings

_SOURCE = PROJECT_ROOT / "flink-conf"
_CONFIG = "config.yaml"
_SILENCE_MS = 6_000
_SLOT_TIMEOUT = "2 s"


class FlinkHome:
    """The distribution inside the ``apache-flink`` package, run with folders of our own.

    The package's folder stays as it was installed: configuration is a copy of ``flink-conf`` with
    this machine's values set over it, and the libraries are a folder of links to the package's own
    and the Kafka connector.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.home / "flink"
        self.configuration = self._root / "conf"
        self._libraries = self._root / "lib"
        self._logs = settings.home / "logs" / "flink"

    def command(self, script: str, *arguments: str) -> FlinkCommand:
        """What one of Flink's own scripts, such as ``flink`` or ``jobmanager.sh``, starts with such arguments."""
        return flink_command(_package() / "bin" / script, arguments, self.environment(), self._root / "commands")

    def log_file(self, name: str) -> Path:
        """Where one of Flink's processes logs."""
        return self._logs / f"{name}.log"

    def environment(self) -> dict[str, str]:
        """Variables that make Flink's scripts use our folders."""
        return {
            "JAVA_HOME": str(java_home()),
            "FLINK_CONF_DIR": str(self.configuration),
            "FLINK_LIB_DIR": str(self._libraries),
            "FLINK_LOG_DIR": str(self._logs),
            "FLINK_PID_DIR": str(self._root / "pids"),
            # Names the log files; without it they carry the user's name, which may be unset.
            "FLINK_IDENT_STRING": "tickcast",
            DIRECTORY_VARIABLE: str(self.nursery_directory()),
        }

    def nursery_directory(self) -> Path:
        """Folder of the socket at which workers are ordered."""
        return self._root / "nursery"

    def rpc_port(self) -> int | None:
        """Port on which the JobManager was last told to listen for TaskManagers."""
        rendered = self.configuration / _CONFIG
        if not rendered.exists():
            return None
        port: int | None = yaml.safe_load(rendered.read_text(encoding="utf-8")).get("jobmanager.rpc.port")
        return port

    def prepare_client(self) -> None:
        """Have what ``flink run`` needs, also where the cluster is not run by this stack."""
        if self.rpc_port() is None:
            self._write()

    def prepare_cluster(self, rpc_port: int) -> None:
        """Write configuration and library folder for a cluster about to start.

        Args:
            rpc_port: Port for the JobManager to listen on for TaskManagers.
        """
        self._write({"jobmanager.rpc.port": rpc_port})

    def checkpoint_directory(self) -> str:
        """URI under which checkpoints and savepoints are kept."""
        return self._settings.flink.checkpoint_dir or (self._settings.home / "checkpoints").as_uri()

    def savepoint_directory(self) -> str:
        """URI under which savepoints are kept."""
        return f"{self.checkpoint_directory().rstrip('/')}/savepoints"

    def _write(self, values_of_cluster: dict[str, Any] | None = None) -> None:
        """Write what has changed, file by file: a TaskManager may be starting with it at this moment."""
        self.configuration.mkdir(parents=True, exist_ok=True)
        for file in _SOURCE.glob("*.*"):
            text = file.read_text(encoding="utf-8")
            if file.name == _CONFIG:
                values = yaml.safe_load(text) | self._overrides() | (values_of_cluster or {})
                text = yaml.safe_dump(values, width=10_000)
            _replace(self.configuration / file.name, text)
        self._link_libraries()
        self._logs.mkdir(parents=True, exist_ok=True)

    def _overrides(self) -> dict[str, Any]:
        rest = urlsplit(self._settings.flink.rest_address)
        temporary = self._root / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        launcher = worker_launcher()
        return {
            "rest.address": rest.hostname,
            "rest.bind-address": rest.hostname,
            "rest.port": rest.port,
            "taskmanager.numberOfTaskSlots": self._settings.stack.task_slots,
            "execution.checkpointing.dir": self.checkpoint_directory(),
            "execution.checkpointing.savepoint-dir": self.savepoint_directory(),
            "io.tmp.dirs": str(temporary),
            "web.tmpdir": str(temporary),
            # Nobody tells a TaskManager that its JobManager has died and another stands in its place: it notices by
            # the silence, and a job that has long been submitted again waits for it.
            "heartbeat.timeout": _SILENCE_MS,
            # Then it keeps the slots of that JobManager's job for a while, lest the job still comes for them. The one
            # submitted in its place has another id, and gets them only afterwards.
            "taskmanager.slot.timeout": _SLOT_TIMEOUT,
            "python.executable": str(launcher or sys.executable),
            "python.client.executable": str(launcher or sys.executable),
        }

    def _link_libraries(self) -> None:
        self._libraries.mkdir(parents=True, exist_ok=True)
        # `flink run` sends PyFlink's own jar along with the job. From there its classes are loaded anew at
        # every restart of the job, and are gone before the last of its workers is cleaned up.
        own = [*_package().glob("lib/*.jar"), *_package().glob("opt/flink-python-*.jar")]
        wanted = {jar.name: jar for jar in [*own, *jars("connector")]}
        for link in self._libraries.iterdir():
            if link.is_symlink() and wanted.get(link.name) == link.readlink():
                del wanted[link.name]
            else:
                link.unlink()
        for name, jar in wanted.items():
            (self._libraries / name).symlink_to(jar)


def worker_launcher() -> Path | None:
    """The program that has workers forked instead of started, where the kernel has what that takes."""
    launcher = Path(sys.executable).with_name("tickcast-python")
    return launcher if sys.platform == "linux" and launcher.exists() else None


def _replace(file: Path, text: str) -> None:
    scratch = file.with_name(f"{file.name}.new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(file)


def _package() -> Path:
    # Without importing it: pyflink's import takes a second.
    specification = importlib.util.find_spec("pyflink")
    if specification is None or specification.origin is None:
        raise ModuleNotFoundError("pyflink")
    return Path(specification.origin).parent
