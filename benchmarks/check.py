"""Whether contestants give the same answers: a sample of each one's predictions against a reference made offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson

from benchmarks.throughput import read_head, read_output
from benchmarks.work import Work
from jobs.topics import Topic, topic_name
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

    from jobs.settings import Settings

HEAD = 5_000
"""So many ticks of each partition, its first ones, are the sample."""
TOLERANCE = 1e-6

TickId = tuple[str, str]


class Comparison(NamedTuple):
    """A contestant's sample against the reference.

    Attributes:
        compared: Predictions of the sample's ticks.
        missing: The sample's ticks without a prediction, though every tick should have had one.
        doubled: Predictions of one tick, beyond the first.
        same_bits: Predictions that are the reference's to the last bit.
        furthest: Largest distance of a probability.
        may_double: Whether a tick may have been answered twice.
    """

    compared: int
    missing: int
    doubled: int
    same_bits: int
    furthest: float
    may_double: bool = False

    @property
    def passed(self) -> bool:
        """Whether the answers are the same, each given as often as its contestant may give it."""
        is_once = not self.doubled or self.may_double
        return bool(self.compared) and not self.missing and is_once and self.furthest <= TOLERANCE


class Reference:
    """The sample's own features, computed offline in the order of the log.

    Args:
        settings: Where the ticks are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._work = Work()
        head = read_head(settings.kafka, topic_name(Topic.TICKS, settings.kafka), HEAD)
        rows = [
            self._work.take(self._work.parse(value, time), partition, offset) for partition, offset, time, value in head
        ]
        self._rows = {(row.symbol, row.trade_id or ""): row for row in rows}
        probabilities = self._work.score(rows)
        self._scores = {(row.symbol, row.trade_id or ""): one for row, one in zip(rows, probabilities, strict=True)}

    def compare(self, values: Iterable[bytes], *, complete: bool) -> Comparison:
        """Compares predictions that were made without a market snapshot.

        Args:
            values: All of a contestant's messages.
            complete: Whether every tick must have been answered.
        """
        found, doubled = self._sample(values)
        expected = {name: self._scores[name] for name in found}
        return self._comparison(found, expected, doubled, complete=complete)

    def compare_with_market(self, values: Iterable[bytes], *, complete: bool) -> Comparison:
        """Compares tickcast's predictions: the reference's own features with the snapshot that each of them names."""
        market = read_output(self._settings.kafka, topic_name(Topic.MARKET, self._settings.kafka)).values
        blocks = {
            one["market_time"]: np.array(one["block"], np.float64).astype(np.float32)
            for one in map(orjson.loads, market)
        }
        found, doubled = self._sample(values)
        nothing = np.full_like(next(iter(blocks.values())), np.nan) if blocks else np.empty(0, np.float32)
        names = list(found)
        if not names:
            return self._comparison({}, {}, doubled, complete=complete)
        snapshots = [blocks.get(found[name]["market_time"], nothing) for name in names]
        scores = self._work.score([self._rows[name] for name in names], snapshots)
        return self._comparison(found, dict(zip(names, scores, strict=True)), doubled, complete=complete)

    def _sample(self, values: Iterable[bytes]) -> tuple[dict[TickId, dict[str, Any]], int]:
        found: dict[TickId, dict[str, Any]] = {}
        doubled = 0
        for value in values:
            message = orjson.loads(value)
            name = (message["symbol"], message["trade_id"] or "")
            if name in self._rows:
                doubled += name in found
                found.setdefault(name, message)
        return found, doubled

    def _comparison(
        self,
        found: dict[TickId, dict[str, Any]],
        expected: dict[TickId, NDArray[np.float32]],
        doubled: int,
        *,
        complete: bool,
    ) -> Comparison:
        names = list(found)
        missing = len(self._rows) - len(names) if complete else 0
        if not names:
            return Comparison(0, missing, doubled, 0, 0.0)
        told = np.array([[found[name][f"p_{one}"] for one in CLASSES] for name in names]).astype(np.float32)
        golden = np.array([expected[name] for name in names])
        return Comparison(
            compared=len(names),
            missing=missing,
            doubled=doubled,
            same_bits=int((told == golden).all(axis=1).sum()),
            furthest=float(np.abs(told.astype(np.float64) - golden).max()),
        )
