"""The vectorized function, without the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from state.features import FEATURE_COUNT, SCHEMA_HASH
from udfs.artifact import ArtifactError, load_artifact
from udfs.score_ticks import ScoreTicks
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def function(model_versions: Path) -> ScoreTicks:
    function = ScoreTicks(model_versions, "v1")
    function.open(None)
    return function


def rows(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).normal(size=(count, FEATURE_COUNT)).astype(np.float32)


def test_each_element_is_scored_by_its_version_whatever_stands_beside_it(
    function: ScoreTicks, model_versions: Path
) -> None:
    asked = [("v1", rows(3)), ("v2", rows(2)), ("v1", rows(1)), ("v2", rows(3))]
    said = function.eval(pd.Series([name for name, _ in asked]), pd.Series([block.tobytes() for _, block in asked]))
    for (version, block), answer in zip(asked, said, strict=True):
        alone = Scorer(load_artifact(model_versions, version, SCHEMA_HASH)).score(block)
        assert answer == alone.tobytes()
    assert said[0] != said[3], "the versions say different things of the same rows"


def test_a_version_that_is_not_there_is_refused_with_its_name(function: ScoreTicks) -> None:
    with pytest.raises(ArtifactError, match="v9"):
        function.eval(pd.Series(["v9"]), pd.Series([rows(1).tobytes()]))


def test_a_version_that_is_not_there_is_refused_before_the_first_batch(model_versions: Path) -> None:
    with pytest.raises(ArtifactError, match="v9"):
        ScoreTicks(model_versions, "v9").open(None)
