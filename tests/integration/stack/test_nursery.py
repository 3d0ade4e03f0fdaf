"""A real nursery, asked for workers by the real launcher."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from console.stack.flink_home import worker_launcher
from jobs.workers.launch import WORKER
from jobs.workers.nursery import WORKER_NAME
from jobs.workers.protocol import DIRECTORY_VARIABLE, SOCKET_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(worker_launcher() is None, reason="this machine starts its workers as Python does"),
]

WAIT_S = 60
NOBODY = "--provision_endpoint=127.0.0.1:1"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the socket, longer than a socket's path may be."""
    folder = tmp_path_factory.mktemp("nursery") / ("long " * 24)
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module that the nursery has loaded."""
    module = tmp_path_factory.mktemp("modules") / "sitecustomize.py"
    module.write_text("", encoding="utf-8")
    return module


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the nursery says."""
    return tmp_path_factory.mktemp("log") / "nursery.log"


@pytest.fixture(scope="module")
def nursery(directory: Path, changing: Path, log: Path) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": str(changing.parent)}
    command = [sys.executable, "-m", "jobs.workers.nursery", directory]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output) as process:
        await_true((directory / SOCKET_NAME).exists)
        yield
        process.terminate()
        assert process.wait(WAIT_S) == 0


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """Where a worker asks what it is to do, and gets no answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"--provision_endpoint=127.0.0.1:{server.getsockname()[1]}"


def launch(directory: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(worker_launcher()), *arguments],
        env={**os.environ, DIRECTORY_VARIABLE: str(directory), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_true(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it has not come to pass"
        time.sleep(0.02)


def forked_for(launcher: subprocess.Popen[str]) -> psutil.Process | None:
    name = WORKER_NAME.format(launcher=launcher.pid)
    return next((process for process in psutil.process_iter(["name"]) if process.info["name"] == name), None)


@pytest.mark.usefixtures("nursery")
def test_a_worker_is_forked_and_its_output_and_its_end_are_the_launchers(directory: Path) -> None:
    launcher = launch(directory, "-m", WORKER, "--id=1-1", NOBODY)
    said, _ = launcher.communicate(timeout=WAIT_S)
    assert "Initializing Python harness" in said
    assert "--id=1-1" in said
    assert "Connection refused" in said
    assert launcher.returncode == 1


@pytest.mark.usefixtures("nursery")
def test_a_worker_ends_when_its_launcher_is_killed(directory: Path, silent_endpoint: str) -> None:
    with launch(directory, "-m", WORKER, "--id=1-1", silent_endpoint) as launcher:
        await_true(lambda: forked_for(launcher))
        launcher.kill()
    await_true(lambda: forked_for(launcher) is None)


@pytest.mark.usefixtures("nursery")
def test_a_launcher_ends_as_its_worker_when_that_is_killed(directory: Path, silent_endpoint: str) -> None:
    with launch(directory, "-m", WORKER, "--id=1-1", silent_endpoint) as launcher:
        await_true(lambda: forked_for(launcher))
        worker = forked_for(launcher)
        assert worker is not None
        worker.kill()
        assert launcher.wait(WAIT_S) == -signal.SIGKILL


@pytest.mark.usefixtures("nursery")
def test_a_worker_works_in_the_folder_of_its_launcher(
    directory: Path, silent_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with launch(directory, "-m", WORKER, "--id=1-1", silent_endpoint) as launcher:
        await_true(lambda: forked_for(launcher))
        worker = forked_for(launcher)
        assert worker is not None
        await_true(lambda: worker.cwd() == str(tmp_path))
        launcher.kill()


def test_whatever_else_is_asked_goes_to_the_interpreter(tmp_path: Path) -> None:
    launcher = launch(tmp_path, "-c", "import sys; print(sys.executable)")
    assert launcher.communicate(timeout=WAIT_S)[0].strip() == sys.executable
    assert launcher.returncode == 0


def test_without_a_nursery_the_worker_is_started_all_the_same(tmp_path: Path) -> None:
    launcher = launch(tmp_path, "-m", WORKER, "--id=1-1", NOBODY)
    assert "Connection refused" in launcher.communicate(timeout=WAIT_S)[0]
    assert launcher.returncode == 1


@pytest.mark.usefixtures("nursery")
def test_a_nursery_whose_files_have_changed_forks_no_more_and_loads_them_anew(
    directory: Path, changing: Path, log: Path
) -> None:
    changing.write_text("print('loaded anew', flush=True)\n", encoding="utf-8")
    for _ in range(2):  # the first starts without the nursery, the second is forked again
        launcher = launch(directory, "-m", WORKER, "--id=1-1", NOBODY)
        assert "Connection refused" in launcher.communicate(timeout=WAIT_S)[0]
        assert launcher.returncode == 1
    assert log.read_text(encoding="utf-8").count("loaded anew") == 1
