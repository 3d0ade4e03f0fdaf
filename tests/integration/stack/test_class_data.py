"""Java programs leave their classes to the next of their kind."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from console.stack.class_data import ClassData, JavaProcess
from console.stack.jars import jars
from console.stack.java import java_home

if TYPE_CHECKING:
    from pathlib import Path

NAME = "tool"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "classes"


@pytest.fixture
def command(tmp_path: Path) -> list[str | Path]:
    """A small program out of a jar of its own, which tells where each class came from."""
    jar = tmp_path / "tool.jar"
    shutil.copy(next(path for path in jars("broker") if path.name.startswith("argparse4j")), jar)
    classpath = os.pathsep.join(map(str, (jar, *jars("broker"))))
    options = ["-XX:TieredStopAtLevel=1", "-Xlog:class+load"]
    return [java_home() / "bin" / "java", *options, "-cp", classpath, "kafka.tools.StorageTool", "random-uuid"]


def run(class_data: ClassData, command: list[str | Path], *, useful: bool = True) -> str:
    line = [str(part) for part in class_data.used_by(NAME, command)]
    said = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout
    class_data.keep(NAME, useful=useful)
    return said


def loads_shared(said: str) -> bool:
    return "kafka.tools.StorageTool source: shared objects file" in said


def test_the_second_start_takes_its_classes_from_the_first(home: Path, folder: Path, command: list[str | Path]) -> None:
    class_data = ClassData(home, folder)
    assert not loads_shared(run(class_data, command))
    assert loads_shared(run(class_data, command))
    assert len(list(folder.iterdir())) == 1
    assert list((home / "run").iterdir()) == []


def test_after_a_jar_has_changed_it_starts_as_ever(home: Path, folder: Path, command: list[str | Path]) -> None:
    class_data = ClassData(home, folder)
    run(class_data, command)
    os.utime(home / "tool.jar", (1, 1))
    assert not loads_shared(run(class_data, command))
    assert loads_shared(run(class_data, command))


def test_where_there_is_no_room_for_an_archive_it_starts_as_ever(
    home: Path, folder: Path, command: list[str | Path]
) -> None:
    folder.write_bytes(b"a file in the folder's place")
    class_data = ClassData(home, folder)
    assert not loads_shared(run(class_data, command))
    assert not loads_shared(run(class_data, command))


def test_what_a_program_wrote_that_did_not_do_its_work_is_not_kept(
    home: Path, folder: Path, command: list[str | Path]
) -> None:
    class_data = ClassData(home, folder)
    run(class_data, command, useful=False)
    assert not folder.exists()
    assert list((home / "run").iterdir()) == []


def test_what_a_killed_program_had_not_finished_is_not_kept(home: Path, folder: Path) -> None:
    (home / "run" / f"{NAME}-0123456789abcdef.jsa").write_bytes(bytes(5000))
    ClassData(home, folder).keep(NAME, useful=True)
    assert not folder.exists()


def test_archives_that_were_not_used_for_longest_are_removed(home: Path, folder: Path) -> None:
    class_data = ClassData(home, folder)
    for number in range(20):
        written = home / "run" / f"{NAME}-{number:016x}.jsa"
        written.write_bytes(b"archive")
        class_data.keep(NAME, useful=True)
        kept = folder / f"{number:016x}.jsa"
        os.utime(kept, (number, number))
    assert {archive.name for archive in folder.iterdir()} == {f"{number:016x}.jsa" for number in range(5, 20)}


def test_a_server_leaves_its_classes_if_it_has_had_a_job(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: list[str | Path]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "caches"))
    server = JavaProcess(home, "server")
    kept = home / "caches" / "tickcast" / "classes"
    for had_a_job in (False, True):
        if had_a_job:
            (home / "job.json").touch()
        server.spawn(command)
        psutil.wait_procs([psutil.Process(server.pid)] if server.pid else [], timeout=60)
        server.stop()
        assert kept.exists() == had_a_job
