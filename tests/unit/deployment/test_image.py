from __future__ import annotations

import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from console.stack.java import JAVA_VERSION
from jobs.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

Instructions = list[list[str]]

POM = PROJECT_ROOT / "console" / "stack" / "maven" / "connector" / "pom.xml"


def stages(dockerfile: Instructions) -> list[Instructions]:
    """The instructions of each stage, its FROM first."""
    starts = [number for number, words in enumerate(dockerfile) if words[0] == "FROM"]
    return [dockerfile[start:end] for start, end in zip(starts, [*starts[1:], len(dockerfile)], strict=True)]


def copies(instructions: Instructions) -> Iterator[tuple[bool, list[str], str]]:
    """Of each COPY: whether it is from another stage, its sources, its destination."""
    for words in instructions:
        if words[0] == "COPY":
            options = list(takewhile(lambda word: word.startswith("--"), words[1:]))
            *sources, destination = words[1 + len(options) :]
            yield any(option.startswith("--from=") for option in options), sources, destination


def from_context(dockerfile: Instructions) -> set[str]:
    """What the image takes out of the repository."""
    return {source for staged, sources, _ in copies(dockerfile) if not staged for source in sources}


def allowed_in_context() -> set[str]:
    lines = (PROJECT_ROOT / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def test_everything_that_the_image_takes_is_in_the_repository(dockerfile: Instructions) -> None:
    assert from_context(dockerfile)
    assert [source for source in from_context(dockerfile) if not (PROJECT_ROOT / source).exists()] == []


def test_the_build_is_given_what_the_image_takes_and_nothing_else(dockerfile: Instructions) -> None:
    assert allowed_in_context() == from_context(dockerfile)


def test_every_package_of_the_project_is_in_the_image(dockerfile: Instructions) -> None:
    packages = {path.parent.name for path in PROJECT_ROOT.glob("*/__init__.py")}
    image = stages(dockerfile)[-1]
    assert packages <= {Path(destination).name for _, _, destination in copies(image)}


def test_a_packages_place_in_the_image_is_the_one_it_was_installed_at(dockerfile: Instructions) -> None:
    for staged, sources, destination in copies(stages(dockerfile)[-1]):
        if staged:
            assert sources == [destination]


def test_what_the_settings_point_to_by_default_is_in_the_image(dockerfile: Instructions) -> None:
    settings = Settings()
    destinations = [Path(destination) for _, _, destination in copies(stages(dockerfile)[-1])]
    for path in (settings.model.directory, settings.market.rules_file):
        there = Path("/opt/tickcast") / path.relative_to(PROJECT_ROOT)
        assert any(there.is_relative_to(destination) for destination in destinations), there


def test_the_clusters_configuration_is_the_one_used_locally(dockerfile: Instructions) -> None:
    (sources,) = [
        sources for _, sources, destination in copies(stages(dockerfile)[-1]) if destination == "/opt/flink/conf/"
    ]
    assert "flink-conf/config.yaml" in sources


def test_flink_and_its_connector_are_the_versions_that_the_project_uses(
    dockerfile: Instructions, flink_version: str
) -> None:
    base = stages(dockerfile)[-1][0][1]
    assert base.startswith(f"flink:{flink_version}-")
    connector = ET.parse(POM).getroot().findtext(".//{*}dependency/{*}version")  # noqa: S314 - our own file
    assert connector is not None
    assert connector.rpartition("-")[2] == ".".join(flink_version.split(".")[:2])


def test_the_image_has_the_java_that_the_stack_looks_for(dockerfile: Instructions) -> None:
    assert stages(dockerfile)[-1][0][1].endswith(f"-java{JAVA_VERSION}")


def test_the_labels_name_the_projects_version(dockerfile: Instructions, project: dict[str, Any]) -> None:
    (labels,) = [" ".join(words[1:]) for words in stages(dockerfile)[-1] if words[0] == "LABEL"]
    assert f'org.opencontainers.image.version="{project["version"]}"' in labels
    assert f'org.opencontainers.image.base.name="{stages(dockerfile)[-1][0][1]}"' in labels


def test_the_python_of_the_image_is_one_that_the_locked_uv_can_install(
    dockerfile: Instructions, project: dict[str, Any]
) -> None:
    text = " ".join(word for words in dockerfile for word in words)
    (version,) = set(re.findall(r"uv python install (\S+)", text) + re.findall(r"--python (3\.\S+)", text))
    assert f">={version.rpartition('.')[0]}," in project["requires-python"]
    known = subprocess.run(
        [sys.executable, "-m", "uv", "python", "list", "--only-downloads", "--all-versions", "--offline", version],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"cpython-{version}-linux-x86_64-gnu" in known.stdout


def test_python_packages_come_with_the_locks_hashes_only(dockerfile: Instructions) -> None:
    installs = [
        " ".join(words)
        for words in dockerfile
        if words[0] == "RUN" and "pip install" in " ".join(words) and "--editable" not in words
    ]
    assert len(installs) == 2
    assert all("--require-hashes" in install for install in installs)


@pytest.mark.parametrize("folder", ["/opt/tickcast", "/opt/python"])
def test_the_user_who_runs_the_programs_is_not_root_and_does_not_own_them(
    folder: str, dockerfile: Instructions
) -> None:
    image = stages(dockerfile)[-1]
    user = [words[1] for words in image if words[0] == "USER"][-1]
    assert user.split(":")[0] not in ("0", "root")
    owned = [words for words in image if words[0] == "COPY" and any(word.startswith("--chown") for word in words)]
    assert not any(words[-1].startswith(folder) for words in owned)
