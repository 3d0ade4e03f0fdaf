"""What the job is told before it takes a tick."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from udfs.artifact import ArtifactError, active_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyflink.datastream import StreamExecutionEnvironment

    from jobs.settings import Settings

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


def build(make_environment: Callable[[Settings], StreamExecutionEnvironment], settings: Settings) -> None:
    from jobs.pipeline import build_pipeline  # noqa: PLC0415 - imports PyFlink

    build_pipeline(make_environment(settings), settings)


def test_a_model_whose_file_was_changed_is_refused(
    make_environment: Callable[[Settings], StreamExecutionEnvironment],
    make_deployment: Callable[..., Settings],
    tmp_path: Path,
) -> None:
    settings = make_deployment()
    models = shutil.copytree(settings.model.directory, tmp_path / "models")
    file = models / active_version(models) / "model.ubj"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    model = settings.model.model_copy(update={"directory": models})
    with pytest.raises(ArtifactError, match=r"model\.ubj"):
        build(make_environment, settings.model_copy(update={"model": model}))


def test_rules_that_are_not_there_are_named(
    make_environment: Callable[[Settings], StreamExecutionEnvironment],
    make_deployment: Callable[..., Settings],
    tmp_path: Path,
) -> None:
    settings = make_deployment()
    market = settings.market.model_copy(update={"rules_file": tmp_path / "nowhere.yaml"})
    with pytest.raises(ValueError, match=r"nowhere\.yaml"):
        build(make_environment, settings.model_copy(update={"market": market}))


@pytest.mark.parametrize("source", ["record", "payload"])
def test_bounds_of_event_time_may_be_fractions_of_a_second(
    make_environment: Callable[[Settings], StreamExecutionEnvironment],
    make_deployment: Callable[..., Settings],
    source: str,
) -> None:
    build(make_environment, make_deployment(source=source, max_ahead_s=0.5, out_of_orderness_s=1.25, idle_after_s=0.3))
