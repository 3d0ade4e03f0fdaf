"""The deployment files, read once."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from jobs.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from pathlib import Path

_MANIFESTS = PROJECT_ROOT / "flink-conf" / "kubernetes"


@pytest.fixture(scope="session")
def flink_configuration() -> dict[str, Any]:
    """What `flink-conf/config.yaml` says: the one source of Flink's options."""
    values: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "flink-conf" / "config.yaml").read_text(encoding="utf-8"))
    return values


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """`docker/compose.yaml`, with anchors and merge keys resolved."""
    values: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    return values


@pytest.fixture(scope="session")
def dockerfile() -> list[list[str]]:
    """The Dockerfile's instructions, each as its words."""
    text = (PROJECT_ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [line.split() for line in lines.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture(scope="session")
def manifests() -> dict[str, dict[str, Any]]:
    """The Kubernetes objects, each under ``<kind>/<name>``; the example of a secret is one of them."""
    objects = (yaml.safe_load(file.read_text(encoding="utf-8")) for file in _files())
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in objects if "metadata" in item}


@pytest.fixture(scope="session")
def flink_deployment(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The `spec` of the job's FlinkDeployment."""
    spec: dict[str, Any] = manifests["FlinkDeployment/tickcast"]["spec"]
    return spec


@pytest.fixture(scope="session")
def setting_names() -> set[str]:
    """Every environment variable that tickcast reads."""
    return {
        f"TICKCAST_{section}__{field}".upper()
        for section, kind in Settings.model_fields.items()
        for field in kind.annotation.model_fields  # type: ignore[union-attr]
    }


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    """The `[project]` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


@pytest.fixture(scope="session")
def flink_version(project: dict[str, Any]) -> str:
    """Version of Flink that the job is written for, such as ``2.2.1``."""
    pins = [re.fullmatch(r"apache-flink==([\d.]+)", requirement) for requirement in project["dependencies"]]
    return next(pin.group(1) for pin in pins if pin)


def _files() -> list[Path]:
    return sorted(_MANIFESTS.glob("*.yaml"))
