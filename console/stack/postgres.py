"""The local PostgreSQL: the server of the `pgserver` package."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from console.errors import CommandError
from console.stack.component import Component, Health, Port
from console.stack.process import DetachedProcess, identity, runs

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 60
_INIT_TIMEOUT_S = 120
_ORPHANS_S = 10
_PERSISTENT_TEMP = Path("/var/tmp")  # noqa: S108 - only for a folder with a random name, see _Place
_UNPRIVILEGED_USERS = ("postgres", "nobody")

_CREATE_DATABASE = "CREATE ROLE tickcast LOGIN\nCREATE DATABASE tickcast OWNER tickcast\n"
# Only the role without special rights can log on: on a shared machine a superuser's
# `COPY ... PROGRAM` would let everyone run programs under the server's user.
_HOST_BASED_AUTHENTICATION = f"host tickcast tickcast {_HOST}/32 trust\n"


class PostgresServer(Component):
    """PostgreSQL on loopback, with its data under ``<home>/postgres`` and a database ``tickcast``.

    PostgreSQL refuses to run as root. Started by root it runs as the user `postgres` or `nobody`;
    where that user can't reach the home (say, below `/root`), the data lie in a folder of
    `/var/tmp` to which ``<home>/postgres`` is a link, and so does a copy of the server's programs
    if these are out of reach too.

    Args:
        home: The stack's folder.
        port: Port on loopback.
    """

    name = "postgres"

    def __init__(self, home: Path, port: int) -> None:
        self.address = f"postgresql://tickcast@{_HOST}:{port}/tickcast"
        self._home = home
        self._port = port
        self._process = DetachedProcess(home, self.name)

    def start(self) -> None:
        """Start the server, unless it runs and answers; make its database the first time."""
        if self.healthy().healthy:
            return
        self.stop()
        user = _server_user()
        place = _place(self._home, user)
        programs = _programs(place, user)
        data = place / "data"
        if not (data / "PG_VERSION").exists():
            _initialise(programs, data, user)
        _end_orphans(data)
        _forget_dead_server(data)
        self._process.spawn(
            [
                *(str(programs / "postgres"), "-D", str(data), "-p", str(self._port)),
                *("-c", f"listen_addresses={_HOST}", "-c", "unix_socket_directories="),
                *("-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "max_wal_size=1GB"),
            ],
            directory=place,
            user=user,
        )
        self._process.wait_until_healthy(self.healthy, _START_TIMEOUT_S)

    def processes(self) -> list[DetachedProcess]:
        """The server's process."""
        return [self._process]

    def stop(self) -> None:
        """Stop the server without waiting for its clients to leave."""
        if (pid := self._process.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)  # PostgreSQL's "fast shutdown"; SIGTERM would wait for the clients
        super().stop()

    def healthy(self) -> Health:
        """Whether the server answers a query."""
        if self._process.pid is None:
            return Health(healthy=False, detail="not running; start it with `tickcast up`")
        try:
            with psycopg.connect(self.address, connect_timeout=3) as connection:
                version = connection.info.server_version
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return Health(healthy=False, detail=" ".join(str(error).split()))
        return Health(healthy=True, detail=f"PostgreSQL {version // 10000}.{version % 10000}")

    def ports(self) -> list[Port]:
        """The one port it listens on."""
        return [Port(_HOST, self._port, "TICKCAST_POSTGRES__DSN")]


def _server_user() -> pwd.struct_passwd | None:
    """User to run the server as: None for the caller's own, which root's can't be."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _UNPRIVILEGED_USERS:
        if name in known:
            return known[name]
    raise CommandError(
        "PostgreSQL refuses to run as root and this machine has no user `postgres` or `nobody`;"
        " run tickcast as a normal user, or set TICKCAST_POSTGRES__DSN to a server that runs"
    )


def _place(home: Path, user: pwd.struct_passwd | None) -> Path:
    """Folder of the server's data that its user can reach."""
    place = home / "postgres"
    if place.is_symlink() and not place.exists():
        place.unlink()
    if not place.exists():
        home.mkdir(parents=True, exist_ok=True)
        if user is None or _reachable(home, user):
            place.mkdir()
        else:
            place.symlink_to(tempfile.mkdtemp(prefix="tickcast-postgres-", dir=_PERSISTENT_TEMP))
    place = place.resolve()
    place.chmod(0o755)
    return place


def _programs(place: Path, user: pwd.struct_passwd | None) -> Path:
    """Folder of `postgres` and `initdb`: the package's own, or a copy that the server's user can reach."""
    package = importlib.util.find_spec("pgserver")
    if package is None or package.origin is None:
        raise CommandError("the package pgserver is not installed; run `make setup`")
    install = Path(package.origin).parent / "pginstall"
    if user is None or _reachable(install / "bin" / "postgres", user):
        return install / "bin"
    copy = place / f"pgserver-{importlib.metadata.version('pgserver')}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=place))
        shutil.copytree(install, unfinished, dirs_exist_ok=True)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return copy / "bin"


def _initialise(programs: Path, data: Path, user: pwd.struct_passwd | None) -> None:
    """Make the database cluster, its role and its database; a half-made one is made anew."""
    shutil.rmtree(data, ignore_errors=True)
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if user is not None:
        os.chown(unfinished, user.pw_uid, user.pw_gid)
    _run_as(user, [programs / "initdb", "-D", unfinished, "--encoding=UTF8", "--no-locale", "--no-sync", "--auth=peer"])
    _run_as(user, [programs / "postgres", "--single", "-D", unfinished, "postgres"], _CREATE_DATABASE)
    (unfinished / "pg_hba.conf").write_text(_HOST_BASED_AUTHENTICATION, encoding="ascii")
    unfinished.rename(data)


def _run_as(user: pwd.struct_passwd | None, command: list[str | Path], statements: str | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            input=statements,
            capture_output=True,
            text=True,
            timeout=_INIT_TIMEOUT_S,
            check=False,
            cwd=Path(command[0]).parent,
            **identity(user),
        )
    except PermissionError as error:
        raise CommandError(
            "PostgreSQL refuses to run as root, and root may not become another user here;"
            " run tickcast as a normal user, or set TICKCAST_POSTGRES__DSN to a server that runs"
        ) from error
    if done.returncode != 0 or "ERROR:" in done.stderr:
        raise CommandError(f"PostgreSQL's data folder could not be made: {done.stderr.strip()}")


def _reachable(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether a user can execute a program or enter a folder; asked of the kernel, which knows every rule."""
    try:
        return subprocess.run(["test", "-x", path], check=False, cwd="/", **identity(user)).returncode == 0
    except PermissionError:
        return True  # root may not change its user here: whoever starts the server says it better


def _end_orphans(data: Path) -> None:
    """End the children of a killed server: as long as one of them is there, no new server starts on its data."""
    # Not with attributes to ask for ahead: psutil keeps the answers for all threads in one place.
    orphans = [process for process in psutil.process_iter() if _serves(process, data)]
    for orphan in orphans:
        with suppress(psutil.NoSuchProcess):
            orphan.kill()
    psutil.wait_procs(orphans, timeout=_ORPHANS_S)


def _serves(process: psutil.Process, data: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == str(data)
    except psutil.Error:  # gone in the meantime, or another user's
        return False


def _forget_dead_server(data: Path) -> None:
    """Remove the lock file of a killed server whose process id now belongs to another program."""
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    pid = int(lock.read_text(encoding="ascii").split()[0])
    try:
        holder = psutil.Process(pid)
        # One that has ended but whose parent has not taken note yet still has its name, and PostgreSQL believes it.
        alive = holder.name() == "postgres" and runs(holder)
    except psutil.NoSuchProcess:
        alive = False
    if not alive:
        lock.unlink()
