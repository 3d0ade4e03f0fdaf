from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from console.stack.flink_home import FlinkHome, worker_launcher
from jobs.settings import PROJECT_ROOT, FlinkSettings, Settings, StackSettings

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = yaml.safe_load((PROJECT_ROOT / "flink-conf" / "config.yaml").read_text())


def rendered(home: Path, **flink: str) -> dict[str, object]:
    settings = Settings(stack=StackSettings(home=home, task_slots=3), flink=FlinkSettings(**flink))
    conf = FlinkHome(settings)
    conf.prepare_cluster(rpc_port=6123)
    values: dict[str, object] = yaml.safe_load((conf.configuration / "config.yaml").read_text())
    return values


def test_the_cluster_runs_with_the_file_of_the_project_and_this_machines_values_over_it(tmp_path: Path) -> None:
    values = rendered(tmp_path, rest_address="http://127.0.0.1:18081")
    own = ("rest.address", "rest.bind-address", "heartbeat.timeout", "taskmanager.slot.timeout")
    assert {key: values[key] for key in SOURCE if key not in own} == {
        key: value for key, value in SOURCE.items() if key not in own
    }
    assert values["rest.port"] == 18081
    assert values["jobmanager.rpc.port"] == 6123
    assert values["taskmanager.numberOfTaskSlots"] == 3
    assert values["python.executable"] == str(worker_launcher() or sys.executable)
    assert str(values["execution.checkpointing.dir"]).startswith(tmp_path.as_uri())


def test_checkpoints_go_where_the_setting_says(tmp_path: Path) -> None:
    values = rendered(tmp_path, checkpoint_dir="s3://bucket/checkpoints")
    assert values["execution.checkpointing.dir"] == "s3://bucket/checkpoints"
    assert values["execution.checkpointing.savepoint-dir"] == "s3://bucket/checkpoints/savepoints"


def test_nothing_that_the_project_configures_is_open_to_other_machines() -> None:
    hosts = {key: value for key, value in SOURCE.items() if key.endswith(("address", "host"))}
    assert set(hosts.values()) == {"127.0.0.1"}
    assert SOURCE["web.submit.enable"] is False


@pytest.mark.parametrize("library", ["flink-dist", "flink-python", "flink-sql-connector-kafka"])
def test_flinks_library_folder_has_its_own_libraries_and_the_connector(tmp_path: Path, library: str) -> None:
    rendered(tmp_path)
    names = {jar.name for jar in (tmp_path / "flink" / "lib").iterdir() if jar.exists()}
    assert any(name.startswith(f"{library}-") for name in names)


def test_a_library_of_another_version_is_replaced_and_what_fits_stays(tmp_path: Path) -> None:
    rendered(tmp_path)
    libraries = tmp_path / "flink" / "lib"
    fitting = {link.name: link.lstat().st_ino for link in libraries.iterdir()}
    (libraries / "flink-dist-1.0.jar").symlink_to("/no/such/jar")
    rendered(tmp_path)
    assert {link.name: link.lstat().st_ino for link in libraries.iterdir()} == fitting
