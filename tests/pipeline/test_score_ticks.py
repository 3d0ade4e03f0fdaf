"""The vectorized function as Flink's SQL calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyflink.table import DataTypes, StreamTableEnvironment

from state.features import FEATURE_COUNT, SCHEMA_HASH
from tests.pipeline.conftest import MODEL_VERSION
from udfs.artifact import load_artifact
from udfs.score_ticks import score_ticks
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyflink.datastream import StreamExecutionEnvironment

    from jobs.settings import Settings

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


def test_sql_scores_rows_of_features_as_the_job_does(
    make_environment: Callable[[Settings], StreamExecutionEnvironment], stack_settings: Settings, model_directory: Path
) -> None:
    rows = np.random.default_rng(3).normal(size=(20, FEATURE_COUNT)).astype(np.float32)
    tables = StreamTableEnvironment.create(make_environment(stack_settings))
    tables.create_temporary_function("score_ticks", score_ticks(model_directory, MODEL_VERSION))
    columns = [("number", DataTypes.INT()), ("version", DataTypes.STRING()), ("features", DataTypes.BYTES())]
    asked = tables.from_elements(
        [(number, MODEL_VERSION, bytearray(row.tobytes())) for number, row in enumerate(rows)],
        DataTypes.ROW([DataTypes.FIELD(name, kind) for name, kind in columns]),
    )
    tables.create_temporary_view("asked", asked)
    with tables.execute_sql("SELECT number, score_ticks(version, features) FROM asked").collect() as found:
        said = dict(map(tuple, found))
    expected = Scorer(load_artifact(model_directory, MODEL_VERSION, SCHEMA_HASH)).score(rows)
    assert {number: bytes(answer) for number, answer in said.items()} == {
        number: answer.tobytes() for number, answer in enumerate(expected)
    }
