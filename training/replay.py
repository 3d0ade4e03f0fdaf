"""One recorded day through the state that the job keeps, without Flink: the features of every trade, and its label."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.features import FEATURE_COUNT, OWN_COUNT
from state.market_state import MarketState, SymbolSecond, block_length, group_of, market_columns
from state.rules import TradingCalendar
from state.symbol_state import SymbolState
from state.window import PRICE_UNITS
from training.examples import DayExamples
from training.labels import label_moves

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    import numpy.typing as npt

    from state.rules import MarketRules
    from state.tick import Tick

_MINUTE_MS = 60_000


class Timing(NamedTuple):
    """How long the job waits for what; the settings of the same names.

    Attributes:
        out_of_orderness_ms: A tick that is further behind the newest trade is late: it is not predicted.
        market_out_of_orderness_ms: A tick that is further behind does not count in the market's second.
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
        if late_ms <= timing.out_of_orderness_ms and not again
    ]
    punctual = [
        tick
        for tick, late_ms, again in zip(ticks, behind, repeated, strict=True)
        if late_ms <= timing.market_out_of_orderness_ms and not again
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
        columns[i] = state.apply(tick.event_time, tick.price, tick.volume, None, 0, i)
        newest = max(newest, tick.event_time)
        if newest // _MINUTE_MS > settled_minute:  # changes no feature: it lets go of bars and outcomes
            settled_minute = newest // _MINUTE_MS
            for each in states.values():
                each.advance(newest - out_of_orderness_ms - 1)


def _market_features(
    ticks: Sequence[Tick],
    punctual: Sequence[Tick],
    previous_closes: Mapping[str, float],
    rules: MarketRules,
    lag_s: int,
) -> npt.NDArray[np.float32]:
    group_count = rules.trade_groups.count
    digits = slice(rules.trade_groups.from_digit, rules.trade_groups.to_digit)
    first, blocks = _market_blocks(punctual, previous_closes, rules, digits)
    seconds = np.array([tick.event_time // 1000 for tick in ticks], dtype=np.int64) - lag_s - first
    # Before its first second nothing is known of the market; after its last one it is as it was.
    row = np.clip(seconds, -1, len(blocks) - 1)
    unknown = np.full((1, block_length(group_count)), np.nan, dtype=np.float32)
    groups = np.array([group_of(tick.trade_id, digits) for tick in ticks], dtype=np.intp)
    return market_columns(np.concatenate([blocks, unknown])[row], groups, group_count)


def _market_blocks(
    ticks: Sequence[Tick], previous_closes: Mapping[str, float], rules: MarketRules, digits: slice
) -> tuple[int, npt.NDArray[np.float32]]:
    """The snapshot of every second from the first trade's to the last's: that first second, and the blocks."""
    calendar = TradingCalendar(rules)
    market = MarketState(rules, calendar)
    in_time = sorted(ticks, key=attrgetter("event_time"))
    first = in_time[0].event_time // 1000
    # The day before, as far as it is known: the references of the index proxy.
    day_before = calendar.day_of(first * 1000).start // 1000 - 1
    market.add(day_before, [SymbolSecond(symbol, price, 0.0, 0, -1) for symbol, price in previous_closes.items()])
    blocks: list[npt.NDArray[np.float32]] = []
    for second, trades in groupby(in_time, key=lambda tick: tick.event_time // 1000):
        while blocks and first + len(blocks) < second:  # the silent seconds before
            market.begin(first + len(blocks))
            blocks.append(market.snapshot().block)
        market.add(second, _symbol_seconds(trades, digits))
        blocks.append(market.snapshot().block)
    return first, np.array(blocks)


def _symbol_seconds(trades: Iterable[Tick], digits: slice) -> list[SymbolSecond]:
    """What each symbol did in a second, in the order of the symbols."""
    by_symbol: dict[str, list[Tick]] = {}
    for tick in trades:
        by_symbol.setdefault(tick.symbol, []).append(tick)
    return [
        SymbolSecond(
            symbol=symbol,
            price=ticks[-1].price,
            turnover=sum(tick.price * tick.volume for tick in ticks),
            trades=len(ticks),
            group=group_of(ticks[-1].trade_id, digits),
        )
        for symbol, ticks in sorted(by_symbol.items())
    ]
