from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xgboost

from udfs.artifact import ArtifactError, activate, active_version, load_artifact, versions, write_artifact
from udfs.manifest import Manifest, Scaler

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "abc123"


@pytest.fixture
def directory(tmp_path: Path, booster: xgboost.Booster, scaler: Scaler, manifest: Manifest) -> Path:
    """A folder with the one version `v1`."""
    write_artifact(tmp_path, booster, scaler, manifest)
    return tmp_path


def edit_manifest(directory: Path, **changes: object) -> None:
    path = directory / "v1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_version_is_read_as_it_was_written(directory: Path, booster: xgboost.Booster, manifest: Manifest) -> None:
    artifact = load_artifact(directory, "v1", SCHEMA)
    rows = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    assert np.array_equal(artifact.booster.inplace_predict(rows), booster.inplace_predict(rows))
    assert artifact.manifest.model_copy(update={"files": {}}) == manifest
    assert sorted(path.name for path in (directory / "v1").iterdir()) == ["manifest.json", "model.ubj", "scaler.json"]


def test_a_missing_version_is_refused_with_the_names_of_those_that_exist(directory: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no model version 'v2' .* choose one of: v1"):
        load_artifact(directory, "v2", SCHEMA)


@pytest.mark.parametrize("name", ["model.ubj", "scaler.json", "manifest.json"])
def test_a_missing_file_is_refused(directory: Path, name: str) -> None:
    (directory / "v1" / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name} is missing; restore the folder"):
        load_artifact(directory, "v1", SCHEMA)


@pytest.mark.parametrize("name", ["model.ubj", "scaler.json"])
def test_a_file_with_one_changed_byte_is_refused(directory: Path, name: str) -> None:
    path = directory / "v1" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="sha256 differs"):
        load_artifact(directory, "v1", SCHEMA)


def test_a_version_for_other_features_is_refused(directory: Path) -> None:
    with pytest.raises(ArtifactError, match=r"trained on other features .* `tickcast train`"):
        load_artifact(directory, "v1", "another schema")


def test_a_version_with_another_order_of_classes_is_refused(directory: Path) -> None:
    edit_manifest(directory, classes=["down", "flat", "up"])
    with pytest.raises(ArtifactError, match="has the classes"):
        load_artifact(directory, "v1", SCHEMA)


def test_a_model_file_that_is_no_model_is_refused_though_its_hash_fits(
    directory: Path, booster: xgboost.Booster
) -> None:
    broken = b"not a model" + bytes(booster.save_raw("ubj"))[:100]
    (directory / "v1" / "model.ubj").write_bytes(broken)
    digest = hashlib.sha256(broken).hexdigest()
    files = json.loads((directory / "v1" / "manifest.json").read_text())["files"]
    edit_manifest(directory, files=files | {"model.ubj": {"sha256": digest, "bytes": len(broken)}})
    with pytest.raises(ArtifactError, match=r"model\.ubj is no XGBoost model"):
        load_artifact(directory, "v1", SCHEMA)


def test_a_manifest_that_is_no_json_is_refused(directory: Path) -> None:
    (directory / "v1" / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"manifest\.json can't be read"):
        load_artifact(directory, "v1", SCHEMA)


def test_a_manifest_with_an_unknown_field_is_refused(directory: Path) -> None:
    edit_manifest(directory, calibrated_by="hand")
    with pytest.raises(ArtifactError, match="calibrated_by"):
        load_artifact(directory, "v1", SCHEMA)


def test_a_renamed_folder_is_refused(directory: Path) -> None:
    (directory / "v1").rename(directory / "v9")
    with pytest.raises(ArtifactError, match="holds the model version 'v1'"):
        load_artifact(directory, "v9", SCHEMA)


def test_a_scaler_for_another_number_of_features_is_refused(
    tmp_path: Path, booster: xgboost.Booster, manifest: Manifest
) -> None:
    write_artifact(tmp_path, booster, Scaler(mean=(0.0,), scale=(1.0,)), manifest)
    with pytest.raises(ArtifactError, match="don't fit together"):
        load_artifact(tmp_path, "v1", SCHEMA)


@pytest.mark.parametrize("version", ["", ".", "..", "../v1", "a/b", "/etc", ".hidden", "v1\n", "v\0", "a b", "x" * 101])
def test_a_name_that_could_leave_the_folder_is_refused(directory: Path, version: str) -> None:
    with pytest.raises(ArtifactError, match="is no name of a model version"):
        load_artifact(directory, version, SCHEMA)


def test_a_version_is_never_overwritten(
    directory: Path, booster: xgboost.Booster, scaler: Scaler, manifest: Manifest
) -> None:
    with pytest.raises(ArtifactError, match="exists already"):
        write_artifact(directory, booster, scaler, manifest)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, scaler: Scaler, manifest: Manifest) -> None:
    with pytest.raises(xgboost.core.XGBoostError):
        write_artifact(tmp_path, xgboost.Booster(), scaler, manifest)
    assert list(tmp_path.iterdir()) == []


def test_the_active_version_is_the_one_activated_last(
    directory: Path, booster: xgboost.Booster, scaler: Scaler, manifest: Manifest
) -> None:
    write_artifact(directory, booster, scaler, manifest.model_copy(update={"version": "v2"}))
    assert versions(directory) == ["v1", "v2"]
    activate(directory, "v2")
    activate(directory, "v1")
    assert active_version(directory) == "v1"


def test_without_an_active_version_the_remedy_is_said(directory: Path) -> None:
    with pytest.raises(ArtifactError, match="train one with `--activate`"):
        active_version(directory)


def test_a_version_that_does_not_exist_is_not_activated(directory: Path) -> None:
    with pytest.raises(ArtifactError, match="no model version 'v2'"):
        activate(directory, "v2")
    assert not (directory / "ACTIVE").exists()


def test_the_training_window_holds_its_days_and_those_between(manifest: Manifest) -> None:
    window = manifest.training_window
    inside = [window.contains(date(2024, 4, 9)), window.contains(date(2024, 5, 5)), window.contains(date(2024, 6, 21))]
    assert inside == [False, True, False]


def test_scaling_centres_each_feature_and_keeps_what_is_missing() -> None:
    scaler = Scaler(mean=(10.0, 0.0), scale=(2.0, 0.5))
    block = np.array([[14.0, np.nan], [10.0, 1.0]], dtype=np.float32)
    scaled = scaler.transform(block)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, np.array([[2.0, np.nan], [0.0, 2.0]], dtype=np.float32))
    assert block[0, 0] == 14.0
