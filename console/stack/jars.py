"""Java libraries of the local stack, fetched once and shared by all checkouts on the machine.

Which ones they are stands in two Maven projects beside this module, and what each file must be in
``SHA256SUMS``. They are fetched with Maven where it is installed, otherwise with jgo, which resolves
Maven dependencies in Python, so that a machine needs nothing but Python and Java.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal, get_args

from console.errors import CommandError

JarSet = Literal["broker", "connector"]

_PROJECTS = Path(__file__).with_name("maven")
_SUMS = "SHA256SUMS"
_COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_TIMEOUT_S = 900


def jars(jar_set: JarSet | str, projects: Path = _PROJECTS) -> list[Path]:
    """Files of a set, fetched now if this machine does not have them yet.

    Args:
        jar_set: Its name.
        projects: Folder with a Maven project for each set, and the checksums of all files.

    Raises:
        CommandError: They could not be fetched, or are not the files they should be.
    """
    folder = cache_folder(projects) / jar_set
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            fetched = Path(scratch) / jar_set
            fetched.mkdir()
            _fetch(jar_set, projects, fetched)
            _verify(jar_set, projects / _SUMS, fetched)
            _move_into_place(fetched, folder)
    return sorted(folder.glob("*.jar"))


def fetched() -> bool:
    """Whether this machine already has every set."""
    return all((cache_folder() / jar_set).is_dir() for jar_set in get_args(JarSet))


def fetch_all() -> None:
    """Fetch every set that this machine does not have yet; raises CommandError like :func:`jars`."""
    for jar_set in get_args(JarSet):
        jars(jar_set)


def caches() -> Path:
    """Folder of what can be fetched or made anew, shared by all checkouts on the machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tickcast"


def cache_folder(projects: Path = _PROJECTS) -> Path:
    """Where the files are kept; another list of files is another folder."""
    return caches() / "jars" / hashlib.sha256((projects / _SUMS).read_bytes()).hexdigest()[:12]


def _fetch(jar_set: str, projects: Path, folder: Path) -> None:
    project = projects / jar_set / "pom.xml"
    try:
        if maven := shutil.which("mvn"):
            _fetch_with_maven(maven, project, folder)
        else:
            _fetch_with_jgo(project, folder)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        said = getattr(error, "stdout", "") or str(error)
        lines = [line for line in said.splitlines() if line.strip()]
        raise CommandError(
            f"the {jar_set} jars could not be fetched; see that Maven's repository is reachable"
            f" and try again: {lines[0] if lines else type(error).__name__}"
        ) from error


def _fetch_with_maven(maven: str, project: Path, folder: Path) -> None:
    subprocess.run(
        [
            maven,
            "--quiet",
            "--batch-mode",
            "--strict-checksums",
            f"--file={project}",
            _COPY_DEPENDENCIES,
            "-DincludeScope=runtime",
            f"-DoutputDirectory={folder}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_FETCH_TIMEOUT_S,
        check=True,
    )


def _fetch_with_jgo(project: Path, folder: Path) -> None:
    from jgo.maven import POM, MavenContext  # noqa: PLC0415 - only a machine without Maven pays for the import

    context = MavenContext(timeout=60)
    wanted = []
    for element in POM(project).elements("dependencies/dependency"):
        dependency = context.create_dependency(
            ":".join(str(element.findtext(part)) for part in ("groupId", "artifactId", "version"))
        )
        # Otherwise each one's parent would decide the versions of what the others need.
        dependency.raw = True
        wanted.append(dependency)
    direct, transitive = context.resolver.resolve(wanted)
    for dependency in [*direct, *(found for found in transitive if found.scope in ("compile", "runtime"))]:
        shutil.copy(dependency.artifact.resolve(), folder)


def _verify(jar_set: str, sums: Path, folder: Path) -> None:
    expected = dict(_expected(jar_set, sums))
    actual = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.iterdir()}
    wrong = sorted(name for name, _ in expected.items() ^ actual.items())
    if wrong:
        raise CommandError(
            f"the {jar_set} jars that were fetched are not those of {sums} (first: {wrong[0]});"
            " remove it from ~/.m2/repository and try again"
        )


def _expected(jar_set: str, sums: Path) -> list[tuple[str, str]]:
    entries = (line.split() for line in sums.read_text(encoding="ascii").splitlines())
    return [(Path(path).name, digest) for digest, path in entries if Path(path).parent.name == jar_set]


def _move_into_place(fetched_folder: Path, folder: Path) -> None:
    try:
        fetched_folder.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another checkout was faster, with the same files
            raise
