"""Model versions on disk: written whole, and refused unless everything about them fits.

A version is a folder of three files: `model.ubj` (the trees), `scaler.json` and `manifest.json`.
None of them can run code when it is read. The manifest names the sha256 of the other two.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson
import xgboost
from pydantic import ValidationError

from udfs.manifest import CLASSES, Document, FileEntry, Manifest, Scaler

MODEL_FILE = "model.ubj"
SCALER_FILE = "scaler.json"
MANIFEST_FILE = "manifest.json"
ACTIVE_FILE = "ACTIVE"

_VERSION = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class ArtifactError(Exception):
    """A model version that must not score; the text is one sentence that says why and what to do."""


_D = TypeVar("_D", bound=Document)


@dataclass(frozen=True)
class Artifact:
    """A model version in memory, checked."""

    booster: xgboost.Booster
    scaler: Scaler
    manifest: Manifest


def write_artifact(directory: Path, booster: xgboost.Booster, scaler: Scaler, manifest: Manifest) -> Path:
    """Writes a new version; it is there in full or not at all.

    Args:
        directory: Folder of all versions.
        booster: The trees, all of which score.
        scaler: The scaling they were trained behind.
        manifest: Its `version` names the folder; its `files` are filled in here.

    Returns:
        The version's folder.

    Raises:
        ArtifactError: If the name is no good or taken.
    """
    target = require_new(directory, manifest.version)
    directory.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=directory))
    try:
        draft.chmod(0o755)
        contents = {MODEL_FILE: bytes(booster.save_raw("ubj")), SCALER_FILE: _json(scaler)}
        files = {name: _entry(content) for name, content in contents.items()}
        contents[MANIFEST_FILE] = _json(manifest.model_copy(update={"files": files}))
        for name, content in contents.items():
            (draft / name).write_bytes(content)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def require_new(directory: Path, version: str) -> Path:
    """The folder of a version that is still to be written.

    Raises:
        ArtifactError: If the name is no good or taken.
    """
    folder = _folder(directory, version)
    if folder.exists():
        raise ArtifactError(f"the model version {version!r} exists already; choose another name")
    return folder


def load_artifact(directory: Path, version: str, expected_schema: str) -> Artifact:
    """Reads a version and checks all of it.

    Args:
        directory: Folder of all versions.
        version: Name of the version.
        expected_schema: Hash of the features that the running code computes.

    Raises:
        ArtifactError: If a file is missing or changed, or made for other features or classes.
    """
    folder = _folder(directory, version)
    manifest = load_manifest(directory, version)
    if manifest.feature_schema != expected_schema:
        raise ArtifactError(
            f"the model version {version!r} was trained on other features (schema {manifest.feature_schema}, "
            f"the running code has {expected_schema}); train a new one with `tickcast train`"
        )
    if manifest.classes != CLASSES:
        raise ArtifactError(f"the model version {version!r} has the classes {manifest.classes}, not {CLASSES}")
    contents = {name: _checked(folder, name, manifest) for name in (MODEL_FILE, SCALER_FILE)}
    scaler = _parse(Scaler, contents[SCALER_FILE], folder / SCALER_FILE)
    try:
        booster = xgboost.Booster(model_file=bytearray(contents[MODEL_FILE]))
    except xgboost.core.XGBoostError as error:
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"{folder / MODEL_FILE} is no XGBoost model ({reason}); {_RESTORE}") from None
    counts = {booster.num_features(), len(scaler.mean), len(scaler.scale), len(manifest.feature_names)}
    if len(counts) != 1 or 0.0 in scaler.scale:
        raise ArtifactError(f"the files of the model version {version!r} don't fit together; {_RESTORE}")
    return Artifact(booster, scaler, manifest)


def load_manifest(directory: Path, version: str) -> Manifest:
    """Reads what is said about a version, without loading the model.

    Raises:
        ArtifactError: If there is no such version or its manifest is none.
    """
    folder = _folder(directory, version)
    if not folder.is_dir():
        known = ", ".join(versions(directory)) or "none"
        raise ArtifactError(f"there is no model version {version!r} in {directory}; choose one of: {known}")
    manifest = _parse(Manifest, _read(folder / MANIFEST_FILE), folder / MANIFEST_FILE)
    if manifest.version != version:
        raise ArtifactError(f"{folder} holds the model version {manifest.version!r}; give the folder that name")
    return manifest


def versions(directory: Path) -> list[str]:
    """Names of the versions in a folder, in alphabetical order."""
    if not directory.is_dir():
        return []
    names = (path.parent.name for path in directory.glob(f"*/{MANIFEST_FILE}"))
    return sorted(name for name in names if _VERSION.fullmatch(name))


def active_version(directory: Path) -> str:
    """Name of the version that scores unless another is asked for.

    Raises:
        ArtifactError: If none was made active.
    """
    try:
        version = (directory / ACTIVE_FILE).read_text("utf-8").strip()
    except FileNotFoundError:
        raise ArtifactError(f"no model version is active in {directory}; train one with `--activate`") from None
    _folder(directory, version)
    return version


def activate(directory: Path, version: str) -> None:
    """Makes a version the active one.

    Raises:
        ArtifactError: If there is no such version.
    """
    load_manifest(directory, version)
    draft = directory / f".{ACTIVE_FILE}"
    draft.write_text(f"{version}\n", "utf-8")
    draft.replace(directory / ACTIVE_FILE)


_RESTORE = "restore the folder from where it was made, or train a new version with `tickcast train`"


def _folder(directory: Path, version: str) -> Path:
    if not _VERSION.fullmatch(version):
        raise ArtifactError(
            f"{version[:120]!r} is no name of a model version; use letters, digits, '.', '_' and '-', no '.' in front"
        )
    return directory / version


def _json(document: Document) -> bytes:
    return orjson.dumps(document.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _entry(content: bytes) -> FileEntry:
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; {_RESTORE}") from None


def _checked(folder: Path, name: str, manifest: Manifest) -> bytes:
    content = _read(folder / name)
    if manifest.files.get(name) != _entry(content):
        raise ArtifactError(f"{folder / name} is not the file its manifest names (sha256 differs); {_RESTORE}")
    return content


def _parse(kind: type[_D], content: bytes, path: Path) -> _D:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{path} can't be read ({where}: {first['msg']}); {_RESTORE}") from None
