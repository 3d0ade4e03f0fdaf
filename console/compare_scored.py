"""Predictions and outcomes against the golden answer: every tick is scored and judged again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from console.compare import Progress, first_of_each, source
from console.golden import Position, golden_features
from console.verdict import TopicVerdict
from state.features import SCHEMA_HASH
from state.market_board import MarketBoard
from state.tally import PROBABILITY_FLOOR
from udfs.artifact import load_artifact
from udfs.manifest import CLASSES
from udfs.observer import Observer
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from console.golden import GoldenAnswer
    from console.messages import Json
    from state.quality_watch import Part
    from udfs.artifact import Artifact

Scored = tuple[Position, str]
"""A prediction or an outcome: its tick's position, and the role of the model that scored."""

ROLES = ("active", "shadow")
ACTIVE = ROLES[0]
_SAME_TO = 1e-6
"""The engine computes some of an outcome's numbers in single precision."""


def scored(message: Json) -> Scored:
    """What tells a prediction or an outcome from all others."""
    return source(message), message["role"]


def conflated(message: Json) -> list[Position]:
    """The ticks that a prediction says were not scored because its own newer one was waiting."""
    return [Position(one["partition"], one["offset"]) for one in message.get("conflated", ())]


class Predictions:
    """The predictions, each against the golden one.

    Args:
        found: Messages of the topic.
        answer: What the log must give.
        board: Recorded market snapshots.
        market_lag_s: A tick is scored with the market snapshot of so many seconds before it.

    Attributes:
        by_key: The first prediction of each tick and role.
        conflated: Positions of ticks that have no prediction because that of a newer one names them.
        scores: The golden probabilities, (3,) float32, where the snapshot is there to compute them.
        observed: What their outcomes add to the live scores and the drift.
    """

    def __init__(self, found: Collection[Json], answer: GoldenAnswer, board: MarketBoard, market_lag_s: int) -> None:
        self._count = len(found)
        self._answer = answer
        self._lag_s = market_lag_s
        self._board = board
        self.by_key = first_of_each(found, scored)
        told = {place for one in self.by_key.values() for place in conflated(one)}
        self.conflated = {place for place in told if place in answer.ticks and (place, ACTIVE) not in self.by_key}
        self.scores: dict[Scored, NDArray[np.float32]] = {}
        self.observed: list[Part] = []

    def compare(self, models: Path) -> TopicVerdict:
        """Scores every tick again, with the model version that its prediction names.

        Raises:
            ArtifactError: If a version is not there, or not as it was.
        """
        answer = self._answer
        verdict = TopicVerdict(messages=self._count, duplicated=self._count - len(self.by_key))
        verdict.lost = sum((position, ACTIVE) not in self.by_key for position in answer.ticks) - len(self.conflated)
        verdict.duplicated += sum(position not in answer.ticks for position, _ in self.by_key)
        versions: dict[str, list[Scored]] = {}
        for key, one in self.by_key.items():
            if key[0] in answer.ticks:
                versions.setdefault(one["model_version"], []).append(key)
        for version, keys in versions.items():
            self._score(keys, load_artifact(models, version, SCHEMA_HASH))
        verdict.mismatched = sum(
            not self._is_golden(key, self.by_key[key]) for keys in versions.values() for key in keys
        )
        return verdict

    def _score(self, keys: list[Scored], artifact: Artifact) -> None:
        row_of = {position: row for row, position in enumerate(self._answer.ticks)}
        moments = {key: self._market_time(key, self.by_key[key]) for key in keys}
        told = [key for key, moment in moments.items() if moment is None or moment // 1000 in self._board]
        own = [self._answer.own[row_of[position]] for position, _ in told]
        features = golden_features(own, [moments[key] for key in told], self._board)
        scores = Scorer(artifact).score(features)
        self.scores.update(zip(told, scores, strict=True))
        observer = Observer(artifact.manifest)
        for role in ROLES:
            rows = [row for row, key in enumerate(told) if key[1] == role]
            positions = [told[row][0] for row in rows]
            times = [self._answer.ticks[position].event_time for position in positions]
            realised = [self._answer.outcomes[position][0] for position in positions]
            self.observed += observer.observe(role, features[rows], scores[rows], times, realised)

    def _market_time(self, key: Scored, one: Json) -> int | None:
        """The snapshot that must have been used, unless the tick had to go without one."""
        if one["market_time"] is None:
            return None
        return (self._answer.ticks[key[0]].event_time // 1000 - self._lag_s) * 1000

    def _is_golden(self, key: Scored, one: Json) -> bool:
        tick = self._answer.ticks[key[0]]
        expected = {
            "symbol": tick.symbol,
            "event_time": tick.event_time,
            "trade_id": tick.trade_id,
            "price": tick.price,
            "sequence": self._answer.sequences[key[0]],
            "market_time": self._market_time(key, one),
            "feature_schema": SCHEMA_HASH,
        }
        scores = self.scores.get(key)
        if scores is not None:
            expected["direction"] = CLASSES[scores.argmax()]
        is_scored = scores is None or probabilities(one).tobytes() == scores.tobytes()
        return (
            is_scored
            and self._is_in_force(one)
            and all(self._is_older(place, key[0]) for place in conflated(one))
            and all(one[name] == value for name, value in expected.items())
        )

    def _is_older(self, place: Position, than: Position) -> bool:
        """Whether a tick that has no prediction comes before another one of its symbol and session."""
        if place not in self.conflated:
            return False
        answer = self._answer
        older, newer = answer.ticks[place], answer.ticks[than]
        is_before = answer.sequences[place] < answer.sequences[than] and older.event_time <= newer.event_time
        return older.symbol == newer.symbol and is_before

    def _is_in_force(self, one: Json) -> bool:
        """Whether the snapshot that a prediction names says that its model version scores in its role."""
        moment = one["market_time"]
        if moment is None or moment // 1000 not in self._board:
            return True
        return (one["role"], one["model_version"]) in zip(ROLES, self._board.versions(moment // 1000), strict=False)


def recorded_board(snapshots: Mapping[int, Json]) -> MarketBoard:
    """All recorded snapshots, given by `market_time`, as the scoring looks at them."""
    board = MarketBoard(keep=len(snapshots))
    for moment, one in snapshots.items():
        board.post(moment // 1000, _block(one).tobytes(), tuple(one["model_versions"]))
    return board


def probabilities(message: Json) -> NDArray[np.float32]:
    """Probabilities of the classes as a message tells them, (3,) float32."""
    return np.array([message[f"p_{name}"] for name in CLASSES]).astype(np.float32)


def _block(snapshot: Json) -> NDArray[np.float32]:
    return np.array(snapshot["block"], np.float64).astype(np.float32)


def compare_outcomes(
    found: Collection[Json], predictions: Predictions, answer: GoldenAnswer
) -> tuple[TopicVerdict, Progress]:
    """Each prediction judged once, and rightly."""
    outcomes = first_of_each(found, scored)
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(outcomes))
    expected = {(position, ACTIVE) for position in answer.ticks if position not in predictions.conflated}
    expected |= {key for key in predictions.by_key if key[0] in answer.ticks}
    verdict.duplicated += len(outcomes.keys() - expected)
    for key in expected & outcomes.keys():
        verdict.mismatched += not _is_golden_outcome(outcomes[key], key, predictions, answer)
    due = [answer.outcomes[key[0]][2] for key in expected & outcomes.keys()]
    return verdict, Progress(max(due, default=0), [answer.outcomes[key[0]][2] for key in expected - outcomes.keys()])


def _is_golden_outcome(one: Json, key: Scored, predictions: Predictions, answer: GoldenAnswer) -> bool:
    tick = answer.ticks[key[0]]
    realised, realised_price, due_time = answer.outcomes[key[0]]
    told = probabilities(one)
    prediction = predictions.by_key.get(key, one)
    scores = predictions.scores.get(key, probabilities(prediction))
    direction = CLASSES[scores.argmax()]
    same = {
        "symbol": tick.symbol,
        "event_time": tick.event_time,
        "due_time": due_time,
        "price": tick.price,
        "realised": realised,
        "realised_price": realised_price,
        "direction": direction,
        "correct": direction == realised,
        "model_version": prediction["model_version"],
    }
    chances = scores.astype(np.float64)
    hit = np.array([name == realised for name in CLASSES])
    alike = {
        "return_bps": (realised_price / tick.price - 1.0) * 10_000.0,
        "log_loss": -math.log(max(float(chances[hit][0]), PROBABILITY_FLOOR)),
        "brier": float(((chances - hit) ** 2).sum()),
    }
    return (
        told.tobytes() == scores.tobytes()
        and all(one[name] == value for name, value in same.items())
        and all(math.isclose(one[name], value, rel_tol=_SAME_TO, abs_tol=_SAME_TO) for name, value in alike.items())
    )
