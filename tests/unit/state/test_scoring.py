"""What a bundle's requests become, with a real model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from state.features import MARKET_COUNT, OWN_COUNT
from state.outcomes import Realised
from state.quality_watch import QualityWatch
from state.requests import Request, Subject
from state.rules import DriftRule
from state.scoring import Scoring
from udfs.observer import Observers
from udfs.score_ticks import ScoreTicks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

MINUTE = 60_000


class CountedModel(ScoreTicks):
    """The model, and how many rows it was asked about."""

    asked = 0

    def eval(self, versions: pd.Series[str], features: pd.Series[bytes]) -> pd.Series[bytes]:
        self.asked += sum(map(len, features)) // (4 * (OWN_COUNT + MARKET_COUNT))
        return super().eval(versions, features)


@pytest.fixture
def model(model_versions: Path) -> CountedModel:
    return CountedModel(model_versions, "v1")


@pytest.fixture
def scoring(model: CountedModel, model_versions: Path) -> Scoring:
    scoring = Scoring(model, Observers(model_versions))
    scoring.open(None)
    return scoring


def requests(count: int, *versions: str, first: int = 0) -> list[Request]:
    random = np.random.default_rng(count)
    made = []
    for number in range(first, first + count):
        subject = Subject("NABIL", number * 10_000, None, 500.0, 0, number, number + 1)
        request = Request(subject, random.normal(size=OWN_COUNT).astype(np.float32).tobytes(), -1, number * 10)
        request.answer(random.normal(size=MARKET_COUNT).astype(np.float32).tobytes(), versions)
        made.append(request)
    return made


def judged(requests: Iterable[Request]) -> list[tuple[Request, Realised]]:
    return [
        (one, Realised(one.subject.event_time, one.subject.event_time + MINUTE, 0, one.subject.offset, 500, 501, "up"))
        for one in requests
    ]


def read(messages: Iterable[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    return [orjson.loads(message) for _, message in messages]


def offsets(messages: Iterable[tuple[bytes, bytes]], version: str) -> list[int]:
    return [one["source"]["offset"] for one in read(messages) if one["model_version"] == version]


def scored(observed: bytes | None) -> dict[tuple[str, str], dict[str, Any]]:
    """The measures of the last score of each version and role that the outcomes add to."""
    watch = QualityWatch(lambda _: None, 60, DriftRule(window_minutes=10, hold_minutes=5))
    if observed is not None:
        watch.add(observed)
    return {(score.version, score.role): score.measures for score in watch.advance(2**62).scores}


def test_predictions_tell_what_their_versions_say_in_the_order_of_the_ticks(scoring: Scoring) -> None:
    asked = [*requests(3, "v1", "v2"), *requests(2, "v2", first=3)]
    answers = scoring.answer(asked, [])
    assert offsets(answers.predictions, "v1") == [0, 1, 2]
    assert offsets(answers.predictions, "v2") == [0, 1, 2, 3, 4]
    roles = {(one["model_version"], one["source"]["offset"]): one["role"] for one in read(answers.predictions)}
    assert roles["v2", 0] == "shadow"
    assert roles["v2", 3] == "active"
    assert (answers.outcomes, answers.observed) == ([], None)


def test_outcomes_add_to_the_score_of_each_version_and_role(scoring: Scoring) -> None:
    answers = scoring.answer([], judged([*requests(9, "v1", "v2"), *requests(5, "v2", first=9)]))
    assert len(answers.outcomes) == 9 + 9 + 5
    measures = scored(answers.observed)
    assert {key: found["trades"] for key, found in measures.items()} == {
        ("v1", "active"): 9,
        ("v2", "shadow"): 9,
        ("v2", "active"): 5,
    }


def test_what_an_outcome_adds_is_what_its_message_tells(scoring: Scoring) -> None:
    answers = scoring.answer([], judged(requests(6, "v1")))
    told = read(answers.outcomes)
    [measures] = scored(answers.observed).values()
    assert measures["three_class"]["accuracy"] == np.mean([one["correct"] for one in told])
    assert measures["three_class"]["log_loss"] == pytest.approx(np.mean([one["log_loss"] for one in told]))


@pytest.mark.parametrize("versions", [("v1",), ("v1", "v2")])
def test_an_outcome_tells_what_its_prediction_told_without_asking_the_model_again(
    scoring: Scoring, model: CountedModel, versions: tuple[str, ...]
) -> None:
    asked = requests(7, *versions)
    predictions = scoring.answer(asked, []).predictions
    before = model.asked
    outcomes = scoring.answer([], judged(asked)).outcomes
    assert model.asked == before
    told = [[[one[name] for name in ("p_up", "p_flat", "p_down")] for one in read(m)] for m in (predictions, outcomes)]
    assert told[0] == told[1]


def test_an_outcome_whose_prediction_was_made_before_a_restart_tells_the_same(scoring: Scoring) -> None:
    asked = requests(7, "v1", "v2")
    scoring.answer(asked, [])
    told = scoring.answer([], judged(asked))
    for lost in asked[2:4]:
        lost.scores = b""
    assert scoring.answer([], judged(asked)) == told


def test_a_tick_whose_minute_ends_in_the_bundle_that_asks_for_it_is_told_twice(scoring: Scoring) -> None:
    asked = requests(2, "v1")
    answers = scoring.answer(asked, judged(asked))
    assert offsets(answers.predictions, "v1") == offsets(answers.outcomes, "v1") == [0, 1]
