"""What a batch of requests becomes, without the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import orjson
import pandas as pd
import pytest
import xgboost

from state.features import FEATURE_COUNT, FEATURE_NAMES, MARKET_COUNT, OWN_COUNT, SCHEMA_HASH
from state.outcomes import Realised
from state.quality_watch import QualityWatch
from state.requests import Request, Subject, outcomes_blocks, pack_blocks, predictions_blocks
from state.rules import DriftRule
from udfs.artifact import write_artifact
from udfs.score_ticks import ScoreTicks

if TYPE_CHECKING:
    from pathlib import Path

    from udfs.manifest import Manifest, Scaler

MINUTE = 60_000


@pytest.fixture
def function(tmp_path: Path, scaler: Scaler, manifest: Manifest) -> ScoreTicks:
    random = np.random.default_rng(1)
    rows = random.normal(size=(200, FEATURE_COUNT)).astype(np.float32)
    booster = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "max_depth": 2, "nthread": 1},
        xgboost.DMatrix(rows, random.integers(0, 3, 200)),
        num_boost_round=2,
    )
    for version in ("v1", "v2"):
        told = {"version": version, "feature_names": FEATURE_NAMES, "feature_schema": SCHEMA_HASH}
        wide = scaler.model_copy(update={"mean": (0.0,) * FEATURE_COUNT, "scale": (1.0,) * FEATURE_COUNT})
        write_artifact(tmp_path, booster, wide, manifest.model_copy(update=told))
    function = ScoreTicks(tmp_path, "v1")
    function.open(None)
    return function


def requests(count: int, *versions: str) -> list[Request]:
    random = np.random.default_rng(count)
    made = []
    for number in range(count):
        subject = Subject("NABIL", number * 10_000, None, 500.0, 0, number, number + 1)
        request = Request(subject, random.normal(size=OWN_COUNT).astype(np.float32).tobytes(), -1, number * 10)
        request.answer(random.normal(size=MARKET_COUNT).astype(np.float32).tobytes(), versions)
        made.append(request)
    return made


def judged(request: Request) -> tuple[Request, Realised]:
    subject = request.subject
    due = subject.event_time + MINUTE
    return request, Realised(subject.event_time, due, 0, subject.offset, 500.0, 501.0, "up")


def added(answers: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Trades in the last score of each version and role that the batch has added to."""
    watch = QualityWatch(lambda _: None, 60, DriftRule(window_minutes=10, hold_minutes=5))
    for data in answers["observed"]:
        if data is not None:
            watch.add(data)
    return {(score.version, score.role): score.measures["trades"] for score in watch.advance(2**62).scores}


def test_predictions_add_nothing_to_the_scores(function: ScoreTicks) -> None:
    answers = function.eval(pd.Series([pack_blocks(predictions_blocks(requests(count, "v1"))) for count in (3, 2)]))
    assert [len(messages) for messages in answers["predictions"]] == [3, 2]
    assert answers["observed"].tolist() == [None, None]


def test_the_outcomes_of_a_batch_add_once_to_each_version_and_role(function: ScoreTicks) -> None:
    blocks = [
        predictions_blocks(requests(4, "v1", "v2")) + outcomes_blocks(map(judged, requests(9, "v1", "v2"))),
        outcomes_blocks(map(judged, requests(5, "v2"))),
    ]
    answers = function.eval(pd.Series(map(pack_blocks, blocks)))
    assert [len(messages) for messages in answers["predictions"]] == [8, 0]
    assert [len(messages) for messages in answers["outcomes"]] == [18, 5]
    assert [data is not None for data in answers["observed"]] == [True, False]
    assert added(answers) == {("v1", "active"): 9, ("v2", "shadow"): 9, ("v2", "active"): 5}


def test_what_an_outcome_adds_is_what_its_message_tells(function: ScoreTicks) -> None:
    answers = function.eval(pd.Series([pack_blocks(outcomes_blocks(map(judged, requests(6, "v1"))))]))
    told = [orjson.loads(message) for _, message in answers["outcomes"][0]]
    watch = QualityWatch(lambda _: None, 60, DriftRule(window_minutes=10, hold_minutes=5))
    watch.add(answers["observed"][0])
    [score] = watch.advance(2**62).scores
    assert score.measures["three_class"]["accuracy"] == np.mean([one["correct"] for one in told])
    assert score.measures["three_class"]["log_loss"] == pytest.approx(np.mean([one["log_loss"] for one in told]))


@pytest.mark.parametrize("versions", [("v1",), ("v1", "v2")])
def test_an_outcome_tells_the_same_whether_its_prediction_is_remembered_or_not(
    function: ScoreTicks, versions: tuple[str, ...]
) -> None:
    asked = requests(7, *versions)
    blocks = pd.Series([pack_blocks(outcomes_blocks(map(judged, asked)))])
    by_the_model = function.eval(blocks)
    function.eval(pd.Series([pack_blocks(predictions_blocks(asked))]))
    assert function.eval(blocks).equals(by_the_model)


def test_outcomes_of_which_one_prediction_is_not_remembered_are_scored_anew(function: ScoreTicks) -> None:
    asked = requests(7, "v1")
    blocks = pd.Series([pack_blocks(outcomes_blocks(map(judged, asked)))])
    by_the_model = function.eval(blocks)
    function.eval(pd.Series([pack_blocks(predictions_blocks(asked[1:]))]))
    assert function.eval(blocks).equals(by_the_model)
