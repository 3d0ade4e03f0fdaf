from __future__ import annotations

import copy
import re
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from pydantic import SecretStr

from console.main import VERBS
from console.reference import setting_variables
from jobs.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Manifests = dict[str, dict[str, Any]]

FOLDER = PROJECT_ROOT / "flink-conf" / "kubernetes"
DEFINITIONS = PROJECT_ROOT.parent / "shared" / "k8s" / "flinkdeployments.flink.apache.org-v1.yml"

OF_THE_LOCAL_MACHINE = {
    "jobmanager.rpc.address",
    "jobmanager.bind-host",
    "taskmanager.host",
    "taskmanager.bind-host",
    "rest.address",
    "rest.bind-address",
    "env.java.opts.client",
    "rest.retry.delay",
    "rest.retry.max-attempts",
}
"""Addresses, which Flink finds out by itself on Kubernetes, and options of `flink run`, which nobody runs there."""
OF_THE_RESOURCE = {
    "jobmanager.memory.process.size": "jobManager",
    "taskmanager.memory.process.size": "taskManager",
}
"""What the operator sets from a `resource`."""


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI schema of Kubernetes as JSON Schema that refuses what the API server would drop."""
    schema = {name: strict(value) if isinstance(value, dict) else value for name, value in schema.items()}
    if schema.pop("x-kubernetes-preserve-unknown-fields", False):
        return {**schema, "additionalProperties": True}
    if schema.pop("x-kubernetes-int-or-string", False):
        return {**schema, "type": ["integer", "string"]}
    if schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


@cache
def definition() -> dict[str, Any]:
    """Schema of a FlinkDeployment as the operator's definition has it."""
    if not DEFINITIONS.is_file():
        pytest.skip(f"the operator's resource definitions are not in {DEFINITIONS.parent}")
    # In C: the file has 11,000 lines.
    versions = yaml.load(DEFINITIONS.read_bytes(), Loader=yaml.CSafeLoader)["spec"]["versions"]
    schema = strict(next(version for version in versions if version["name"] == "v1beta1")["schema"]["openAPIV3Schema"])
    # The API server knows these itself; a definition need not name them.
    schema["properties"] |= dict.fromkeys(("apiVersion", "kind", "metadata"), True)
    return schema


def pod_schema() -> dict[str, Any]:
    """Schema of a pod's template, which the operator's definition spells out in full."""
    schema: dict[str, Any] = definition()["properties"]["spec"]["properties"]["podTemplate"]
    return schema


def written(value: object) -> str:
    """An option as it stands in a FlinkDeployment: text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def pods(manifests: Manifests) -> Iterator[dict[str, Any]]:
    """Every pod's template."""
    for manifest in manifests.values():
        if manifest["kind"] == "FlinkDeployment":
            spec = manifest["spec"]
            yield from (spec["podTemplate"], spec["jobManager"]["podTemplate"], spec["taskManager"]["podTemplate"])
        elif manifest["kind"] == "Deployment":
            yield manifest["spec"]["template"]


def containers(manifests: Manifests) -> Iterator[dict[str, Any]]:
    for pod in pods(manifests):
        yield from pod["spec"].get("initContainers", [])
        yield from pod["spec"]["containers"]


def rendered(folder: Path) -> Manifests:
    """What `kubectl apply -k` would send; nothing is sent."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in yaml.safe_load_all(done.stdout)}


def test_the_operator_accepts_the_flink_deployment(manifests: Manifests) -> None:
    Draft202012Validator(definition()).validate(manifests["FlinkDeployment/tickcast"])


def test_a_field_that_the_operator_does_not_know_is_found(manifests: Manifests) -> None:
    deployment = copy.deepcopy(manifests["FlinkDeployment/tickcast"])
    deployment["spec"]["job"]["upgradeMod"] = "savepoint"
    with pytest.raises(ValidationError, match="upgradeMod"):
        Draft202012Validator(definition()).validate(deployment)


@pytest.mark.parametrize("service", ["view", "history"])
def test_the_pod_of_a_service_has_only_fields_that_kubernetes_knows(service: str, manifests: Manifests) -> None:
    Draft202012Validator(pod_schema()).validate(manifests[f"Deployment/tickcast-{service}"]["spec"]["template"])


def test_an_upgrade_keeps_the_state(flink_deployment: dict[str, Any]) -> None:
    assert flink_deployment["job"]["upgradeMode"] == "savepoint"
    assert flink_deployment["job"]["allowNonRestoredState"] is False
    options = flink_deployment["flinkConfiguration"]
    assert options["high-availability.type"] == "kubernetes"


def test_everything_the_job_must_not_forget_lies_on_the_volume(flink_deployment: dict[str, Any]) -> None:
    pod = flink_deployment["podTemplate"]["spec"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if not mount.get("readOnly")]
    assert mount["name"] in {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
    options = flink_deployment["flinkConfiguration"]
    for option in (
        "execution.checkpointing.dir",
        "execution.checkpointing.savepoint-dir",
        "high-availability.storageDir",
    ):
        assert options[option].startswith(f"file://{mount['mountPath']}/")


def test_the_job_runs_with_every_option_of_the_local_cluster_but_its_addresses(
    flink_deployment: dict[str, Any], flink_configuration: dict[str, Any]
) -> None:
    shared = flink_configuration.keys() - OF_THE_LOCAL_MACHINE - OF_THE_RESOURCE.keys()
    here = flink_deployment["flinkConfiguration"]
    assert {name: here.get(name) for name in shared} == {name: written(flink_configuration[name]) for name in shared}
    for option, process in OF_THE_RESOURCE.items():
        assert flink_deployment[process]["resource"]["memory"] == flink_configuration[option]
    assert not here.keys() & OF_THE_LOCAL_MACHINE


def test_the_program_is_started_as_on_the_local_cluster(
    flink_deployment: dict[str, Any], flink_version: str, dockerfile: list[list[str]]
) -> None:
    job = flink_deployment["job"]
    assert flink_deployment["flinkVersion"] == "v" + "_".join(flink_version.split(".")[:2])
    assert job["jarURI"] == f"local:///opt/flink/opt/flink-python-{flink_version}.jar"
    assert job["entryClass"] == "org.apache.flink.client.python.PythonDriver"
    options = dict(zip(job["args"][::2], job["args"][1::2], strict=True))
    assert options == {
        "-pyclientexec": flink_deployment["flinkConfiguration"]["python.executable"],
        "-py": "/opt/tickcast/jobs/main.py",
    }
    copied = {instruction[-1] for instruction in dockerfile if instruction[0] == "COPY"}
    assert {"/opt/tickcast/.venv", "/opt/tickcast/jobs"} <= copied


def test_every_setting_of_a_pod_is_one_that_tickcast_reads(manifests: Manifests, setting_names: set[str]) -> None:
    named = {entry["name"] for container in containers(manifests) for entry in container.get("env", [])}
    named |= manifests["ConfigMap/tickcast"]["data"].keys() | manifests["Secret/tickcast"]["stringData"].keys()
    assert named <= setting_names


def test_every_secret_that_a_pod_asks_for_is_in_the_example_and_the_example_holds_none(manifests: Manifests) -> None:
    example = manifests["Secret/tickcast"]["stringData"]
    asked = {
        (entry["valueFrom"]["secretKeyRef"]["name"], entry["valueFrom"]["secretKeyRef"]["key"])
        for container in containers(manifests)
        for entry in container.get("env", [])
    }
    assert asked == {("tickcast", key) for key in example}
    assert not any(example.values())


def test_no_pod_runs_as_root_or_may_become_it(manifests: Manifests) -> None:
    for pod in (
        manifests["FlinkDeployment/tickcast"]["spec"]["podTemplate"],
        manifests["Deployment/tickcast-view"]["spec"]["template"],
        manifests["Deployment/tickcast-history"]["spec"]["template"],
    ):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["runAsUser"] > 0
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(manifests):
        if rights := container.get("securityContext"):
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
    # The FlinkDeployment's two templates only add probes to the container of the common one.
    assert {c["name"] for c in containers(manifests) if "securityContext" not in c} == {"flink-main-container"}


def test_only_flinks_own_container_can_write_to_its_root(manifests: Manifests) -> None:
    writable = {
        container["name"]
        for container in containers(manifests)
        if not container.get("securityContext", {}).get("readOnlyRootFilesystem")
    }
    assert writable == {"flink-main-container"}


def test_a_service_gets_no_credentials_of_the_cluster(manifests: Manifests) -> None:
    for service in ("view", "history"):
        assert (
            manifests[f"Deployment/tickcast-{service}"]["spec"]["template"]["spec"]["automountServiceAccountToken"]
            is False
        )


def test_no_secret_is_in_a_manifest(manifests: Manifests) -> None:
    secrets = {variable for variable, field in setting_variables() if field.annotation is SecretStr}
    assert manifests["Secret/tickcast"]["stringData"].keys() == secrets
    assert not manifests["ConfigMap/tickcast"]["data"].keys() & secrets
    for container in containers(manifests):
        for entry in container.get("env", []):
            assert "value" not in entry or entry["name"] not in secrets
    for file in (*FOLDER.glob("*.yaml"), PROJECT_ROOT / "docker" / "compose.yaml"):
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
        held = re.findall(r"//[^/\s:]*:([^@\s]+)@", "\n".join(lines))
        assert all(password.startswith("${") for password in held), file


def test_every_pod_is_told_whom_to_trust_in_the_same_place(manifests: Manifests) -> None:
    places = {
        mount["mountPath"]
        for container in containers(manifests)
        for mount in container.get("volumeMounts", [])
        if mount["name"] == "authorities"
    }
    assert places == {"/etc/tickcast/authorities"}
    told = [volume for pod in pods(manifests) for volume in pod["spec"].get("volumes", [])]
    assert [volume["configMap"] for volume in told if volume["name"] == "authorities"] == [
        {"name": "tickcast-authorities", "optional": True}
    ] * 3


def test_other_services_addresses_do_not_become_settings(manifests: Manifests) -> None:
    assert manifests["FlinkDeployment/tickcast"]["spec"]["podTemplate"]["spec"]["enableServiceLinks"] is False
    for service in ("view", "history"):
        assert manifests[f"Deployment/tickcast-{service}"]["spec"]["template"]["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("service", ["view", "history"])
def test_a_service_is_a_verb_of_the_command(service: str, manifests: Manifests) -> None:
    (container,) = manifests[f"Deployment/tickcast-{service}"]["spec"]["template"]["spec"]["containers"]
    program, verb = container["command"]
    assert program == "/opt/tickcast/.venv/bin/tickcast"
    assert verb in VERBS


def test_all_pods_run_the_version_of_the_project(manifests: Manifests, project: Mapping[str, Any]) -> None:
    images = {container["image"] for container in containers(manifests) if "image" in container}
    images.add(manifests["FlinkDeployment/tickcast"]["spec"]["image"])
    assert images == {f"tickcast:{project['version']}"}


def test_one_number_rescales_and_one_line_sets_the_image_everywhere(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "kubernetes")
    for name, old, new in (
        ("flinkdeployment.yaml", "parallelism: 2", "parallelism: 7"),
        ("kustomization.yaml", "newName: tickcast", "newName: registry.example/tickcast"),
    ):
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    manifests = rendered(folder)
    assert manifests["FlinkDeployment/tickcast"]["spec"]["job"]["parallelism"] == 7
    assert manifests["ConfigMap/tickcast"]["data"]["TICKCAST_FLINK__PARALLELISM"] == "7"
    images = {container["image"] for container in containers(manifests) if "image" in container}
    images.add(manifests["FlinkDeployment/tickcast"]["spec"]["image"])
    assert {image.rpartition(":")[0] for image in images} == {"registry.example/tickcast"}


def test_what_is_applied_is_still_what_the_operator_accepts() -> None:
    manifests = rendered(FOLDER)
    Draft202012Validator(definition()).validate(manifests["FlinkDeployment/tickcast"])
    assert not any(kind.startswith("Secret/") for kind in manifests)
