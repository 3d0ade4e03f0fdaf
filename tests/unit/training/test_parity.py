"""A whole real day, twice: as training builds it, and as the job folds it; every number the same to the last bit."""

from __future__ import annotations

import random
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from feeds.replay import Replay
from jobs.settings import PROJECT_ROOT
from state import codec
from state.features import complete
from state.market_fold import MarketFold
from state.market_state import group_of
from state.rules import MarketRules, TradingCalendar, load_rules
from state.symbol_state import SymbolState
from training.replay import RecordedDay, Timing, replay_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from state.market_state import MarketSnapshot
    from state.tick import Tick

TIMING = Timing(out_of_orderness_ms=15_000, market_out_of_orderness_ms=2_000, market_lag_s=4)


@pytest.fixture(scope="module")
def rules() -> MarketRules:
    return load_rules(PROJECT_ROOT / "flink-conf" / "markets" / "nepse.yaml")


@pytest.fixture(scope="module")
def ticks(shared_data: Path) -> list[Tick]:
    """The calm day, in the order of arrival."""
    file = shared_data / "nepse_floorsheet_2024-06-10.csv.gz"
    if not file.is_file():
        pytest.skip(f"no real trades in {file}")
    return list(Replay([file]))


class Job:
    """What the job does with ticks, one by one; now and then a worker dies and takes its memory from Flink's state."""

    def __init__(self, rules: MarketRules) -> None:
        self.rules = rules
        self.calendar = TradingCalendar(rules)
        self.symbols: dict[str, SymbolState] = {}
        self.newest = 0
        self.random = random.Random(7)  # noqa: S311 - no secret

    def take(self, tick: Tick, offset: int) -> bytes | None:
        """A tick's own features; None for a late one or a duplicate."""
        self.newest = max(self.newest, tick.event_time)
        state = self._state_of(tick.symbol)
        key = codec.trade_key(tick.trade_id)
        watermark = max(self.newest - TIMING.out_of_orderness_ms, state.clock)
        if tick.event_time <= watermark or (key is not None and state.repeats(tick.event_time, key)):
            return None
        features = state.apply(tick.event_time, tick.price, tick.volume, key, 0, offset)
        due = state.next_due
        if due is not None and due <= watermark:
            state.advance(watermark)
        return features

    def _state_of(self, symbol: str) -> SymbolState:
        state = self.symbols.get(symbol)
        if state is None or self.random.random() < 0.01:
            fresh = SymbolState(symbol, self.rules, self.calendar)
            if state is not None:
                codec.restore(fresh, [codec.encode_snapshot(state)], [codec.encode_keys(state.seen)])
            state = self.symbols[symbol] = fresh
        return state


def seconds_of(ticks: Iterable[Tick]) -> Iterator[tuple[int, str]]:
    """What the job's one-second windows say of the ticks that come in time."""
    newest = 0
    seconds: dict[int, dict[str, list[Tick]]] = {}
    for tick in ticks:
        newest = max(newest, tick.event_time)
        if newest - tick.event_time < TIMING.market_out_of_orderness_ms:
            seconds.setdefault(tick.event_time // 1000, {}).setdefault(tick.symbol, []).append(tick)
    for second in sorted(seconds):
        rows = []
        for symbol, trades in seconds[second].items():
            ordered = sorted(trades, key=lambda tick: tick.event_time)
            last, turnover = ordered[-1], sum(tick.price * tick.volume for tick in ordered)
            rows.append(f"{symbol}:{last.price}:{turnover}:{len(trades)}:{last.trade_id}")
        yield second, ";".join(rows)


def market_of(ticks: Iterable[Tick], rules: MarketRules) -> dict[int, MarketSnapshot]:
    fold = MarketFold(rules, TradingCalendar(rules), lead_s=25)
    return {one.second: one for second, text in seconds_of(ticks) for one in fold.take(second, text)}


def served(ticks: list[Tick], rules: MarketRules) -> NDArray[np.float32]:
    """Features of every tick that is scored, as the job sends them to the model."""
    job, snapshots = Job(rules), market_of(ticks, rules)
    groups = rules.trade_groups
    packed = []
    for offset, tick in enumerate(ticks):
        features = job.take(tick, offset)
        if features is None:
            continue
        group = group_of(tick.trade_id, slice(groups.from_digit, groups.to_digit))
        snapshot = snapshots[tick.event_time // 1000 - TIMING.market_lag_s]
        packed.append(features + snapshot.columns(group))
    batches = [packed[start : start + 500] for start in range(0, len(packed), 500)]
    return np.concatenate([complete(b"".join(batch), len(batch)) for batch in batches])


def test_every_feature_of_every_tick_of_a_real_day_is_the_same_in_training_and_in_the_job(
    ticks: list[Tick], rules: MarketRules
) -> None:
    day = TradingCalendar(rules).day_of(ticks[0].event_time).day
    trained = replay_day(RecordedDay(day, ticks, {}), rules, TIMING)
    rows = served(ticks, rules)
    assert day == date(2024, 6, 10)
    assert len(rows) == len(trained) > 70_000
    unequal = np.flatnonzero((rows.view(np.uint32) != trained.features.view(np.uint32)).any(axis=0))
    assert unequal.tolist() == []
