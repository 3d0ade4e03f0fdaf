"""One recorded day through the state that the job keeps, without Flink: the features of every trade, and its label."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.features import FEATURE_COUNT, OWN_COUNT
from state.market_fold import MarketFold
from state.market_state import group_of, market_columns
from state.rules import TradingCalendar
from state.symbol_state import SymbolState
from state.window import PRICE_UNITS
from training.examples import DayExamples
from training.labels import label_moves

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    import numpy.typing as npt

    from state.market_state import MarketSnapshot
    from state.rules import MarketRules
    from state.tick import Tick

_MINUTE_MS = 60_000


class Timing(NamedTuple):
    """How long the job waits for what; the settings of the same names.

    Attributes:
        out_of_orderness_ms: A tick that is so far behind the newest trade is late: it is not predicted.
        market_out_of_orderness_ms: A tick that is so far behind does not count in the market's second.
        market_lag_s: A tick sees the market of so many seconds before it.
    """

    out_of_orderness_ms: int
    market_out_of_orderness_ms: int
    market_lag_s: int


class RecordedDay(NamedTuple):
    """A day's trades, and all that its state takes over from the days before.

    Attributes:
        day: The day.
        ticks: Its trades in order of arrival; at least one.
        previous_closes: Last price of each symbol before the day, rupees, where known.
    """

    day: date
    ticks: Sequence[Tick]
    previous_closes: Mapping[str, float]


def replay_day(recorded: RecordedDay, rules: MarketRules, timing: Timing) -> DayExamples:
    """Replays one day.

    Args:
        recorded: The day.
        rules: The market's rules.
        timing: What is late.

    Returns:
        Features and label of each trade that is neither late nor a duplicate, in order of arrival.
    """
    day, ticks, previous_closes = recorded
    behind = _behind_newest(ticks)
    repeated = _repeated(ticks)
    taken = [
        tick
        for tick, late_ms, again in zip(ticks, behind, repeated, strict=True)
        if late_ms < timing.out_of_orderness_ms and not again
    ]
    punctual = [
        tick
        for tick, late_ms, again in zip(ticks, behind, repeated, strict=True)
        if late_ms < timing.market_out_of_orderness_ms and not again
    ]
    features = np.empty((len(taken), FEATURE_COUNT), dtype=np.float32)
    _own_features(taken, previous_closes, rules, timing.out_of_orderness_ms, features[:, :OWN_COUNT])
    event_times = np.array([tick.event_time for tick in taken], dtype=np.int64)
    features[:, OWN_COUNT:] = _market_features(taken, punctual, previous_closes, rules, timing.market_lag_s)
    symbols, numbers = np.unique(np.array([tick.symbol for tick in taken]), return_inverse=True)
    prices = np.array([tick.price for tick in taken])
    return DayExamples(
        day=day,
        features=features,
        labels=label_moves(numbers.astype(np.int64), event_times, prices),
        event_times=event_times,
        symbols=symbols[numbers],
        volumes=np.array([tick.volume for tick in taken], dtype=np.int64),
    )


def closing_prices(ticks: Sequence[Tick]) -> dict[str, float]:
    """Each symbol's last price by event time, rupees; of the same millisecond the one that arrived last."""
    return {tick.symbol: tick.price for tick in sorted(ticks, key=attrgetter("event_time"))}


def _behind_newest(ticks: Sequence[Tick]) -> list[int]:
    """How far each tick is behind the newest one before it, ms; 0 for a newest one."""
    newest = 0
    behind = []
    for tick in ticks:
        newest = max(newest, tick.event_time)
        behind.append(newest - tick.event_time)
    return behind


def _repeated(ticks: Sequence[Tick]) -> list[bool]:
    """Whether each tick's trade id has been there before for its symbol."""
    seen: set[tuple[str, str]] = set()
    repeated = []
    for tick in ticks:
        key = (tick.symbol, tick.trade_id) if tick.trade_id else None
        repeated.append(key in seen)
        if key:
            seen.add(key)
    return repeated


def _own_features(
    ticks: Sequence[Tick],
    previous_closes: Mapping[str, float],
    rules: MarketRules,
    out_of_orderness_ms: int,
    columns: npt.NDArray[np.float32],
) -> None:
    calendar = TradingCalendar(rules)
    states: dict[str, SymbolState] = {}
    newest = 0
    settled_minute = 0
    for i, tick in enumerate(ticks):
        state = states.get(tick.symbol)
        if state is None:
            state = states[tick.symbol] = SymbolState(tick.symbol, rules, calendar)
            state.previous_close = round(previous_closes.get(tick.symbol, 0.0) * PRICE_UNITS)
        features = state.apply(tick.event_time, tick.price, tick.volume, None, 0, i)
        columns[i] = np.frombuffer(features, np.float32)
        newest = max(newest, tick.event_time)
        if newest // _MINUTE_MS > settled_minute:  # changes no feature: it lets go of bars and outcomes
            settled_minute = newest // _MINUTE_MS
            for each in states.values():
                each.advance(newest - out_of_orderness_ms)


def _market_features(
    ticks: Sequence[Tick],
    punctual: Sequence[Tick],
    previous_closes: Mapping[str, float],
    rules: MarketRules,
    lag_s: int,
) -> npt.NDArray[np.float32]:
    groups = rules.trade_groups
    digits = slice(groups.from_digit, groups.to_digit)
    snapshots = _market_snapshots(punctual, previous_closes, rules, lag_s)
    seconds = np.array([tick.event_time // 1000 for tick in ticks], dtype=np.int64) - lag_s - snapshots[0].second
    blocks = np.array([snapshot.block for snapshot in snapshots])[np.clip(seconds, 0, len(snapshots) - 1)]
    own_groups = np.array([group_of(tick.trade_id, digits) for tick in ticks], dtype=np.intp)
    return market_columns(blocks, own_groups, groups.count)


def _market_snapshots(
    ticks: Iterable[Tick], previous_closes: Mapping[str, float], rules: MarketRules, lag_s: int
) -> list[MarketSnapshot]:
    """The snapshot of every second that a trade of the day may see."""
    calendar = TradingCalendar(rules)
    fold = MarketFold(rules, calendar, lead_s=lag_s)
    in_time = sorted(ticks, key=attrgetter("event_time"))
    # What is known of the day before stands in its last second: the references of the index proxy.
    day_before = calendar.day_of(in_time[0].event_time).start // 1000 - 1
    if previous_closes:
        closes = (f"{symbol}:{price}:0:0:" for symbol, price in previous_closes.items())
        fold.take(day_before, ";".join(closes))
    snapshots: list[MarketSnapshot] = []
    for second, trades in groupby(in_time, key=lambda tick: tick.event_time // 1000):
        snapshots += fold.take(second, _second_text(trades))
    return snapshots


def _second_text(trades: Iterable[Tick]) -> str:
    """A second's trades, symbol by symbol, in the form of :func:`state.market_state.parse_second`."""
    by_symbol: dict[str, list[Tick]] = {}
    for tick in trades:
        by_symbol.setdefault(tick.symbol, []).append(tick)
    rows = []
    for symbol, ticks in by_symbol.items():
        turnover = sum(tick.price * tick.volume for tick in ticks)
        rows.append(f"{symbol}:{ticks[-1].price}:{turnover}:{len(ticks)}:{ticks[-1].trade_id or ''}")
    return ";".join(rows)
