"""The golden answer: what the log of ticks must give, computed offline by the very code that the job runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state import codec, records
from state.features import OWN_COUNT
from state.market_state import group_of
from state.rules import TradingCalendar
from state.symbol_state import SymbolState
from state.tick import BadTickError, TickParser
from udfs.blocks import feature_block, no_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from state.rules import MarketRules
    from udfs.scorer import Scorer

END_OF_TIME = 2**62


class Position(NamedTuple):
    """Where a tick stands in its topic."""

    partition: int
    offset: int


class Message(NamedTuple):
    """One record of the ticks' topic."""

    position: Position
    record_time: int
    value: bytes | None


@dataclass
class GoldenAnswer:
    """What must stand in the result topics.

    Attributes:
        accepted: Position of each tick that must have a prediction, in the order in which they were taken in.
        own: (n, OWN_COUNT + 1) float32: their own features and their group.
        duplicates: Positions of repeated trades.
        invalid: Positions of messages that are no ticks.
        bars: (symbol, interval, window start) → message.
        outcomes: Position → (realised direction, realised price, due time).
        alerts: (rule, position) → message.
    """

    accepted: list[Position] = field(default_factory=list)
    own: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, OWN_COUNT + 1), np.float32))
    duplicates: set[Position] = field(default_factory=set)
    invalid: set[Position] = field(default_factory=set)
    bars: dict[tuple[str, str, int], dict[str, object]] = field(default_factory=dict)
    outcomes: dict[Position, tuple[str, float, int]] = field(default_factory=dict)
    alerts: dict[tuple[str, Position], dict[str, object]] = field(default_factory=dict)


def golden_answer(  # noqa: C901 - one message after the other
    messages: Iterable[Message], set_aside: AbstractSet[Position], rules: MarketRules
) -> GoldenAnswer:
    """Folds the log.

    Args:
        messages: All ticks; each symbol's in the order of its partition.
        set_aside: Positions of late ticks and dead letters: arrival and the clock decided those, so they are taken
            as recorded.
        rules: The market's rules.
    """
    parser = TickParser(rules.symbols.pattern, rules.limits.max_price, rules.limits.max_volume)
    calendar = TradingCalendar(rules)
    group_digits = slice(rules.trade_groups.from_digit, rules.trade_groups.to_digit)
    states: dict[str, SymbolState] = {}
    answer = GoldenAnswer()
    rows: list[list[float]] = []
    for position, record_time, value in messages:
        if position in set_aside:
            continue
        try:
            tick = parser.parse(value, record_time)
        except BadTickError:
            answer.invalid.add(position)
            continue
        state = states.get(tick.symbol)
        if state is None:
            state = states[tick.symbol] = SymbolState(tick.symbol, rules, calendar)
        key = codec.trade_key(tick.trade_id)
        if key is not None and key in state.seen:
            answer.duplicates.add(position)
            continue
        features = state.apply(tick.event_time, tick.price, tick.volume, key, *position)
        features.append(group_of(tick.trade_id, group_digits))
        rows.append(features)
        answer.accepted.append(position)
        for alert in state.take_alerts():
            answer.alerts[alert.rule, position] = records.alert_record(tick.symbol, alert)
    if rows:
        answer.own = np.array(rows, np.float32)
    for symbol, state in states.items():
        bars, realised = state.advance(END_OF_TIME)
        for bar in bars:
            answer.bars[symbol, bar.interval, bar.window_start] = records.bar_record(symbol, bar)
        for one in realised:
            position = Position(one.partition, one.offset)
            answer.outcomes[position] = (one.direction, one.realised_price, one.due_time)
    return answer


def golden_scores(
    own: NDArray[np.float32],
    market_times: Sequence[int | None],
    snapshots: Mapping[int, NDArray[np.float32]],
    scorer: Scorer,
    rules: MarketRules,
) -> NDArray[np.float32]:
    """Probabilities of rows of own features, each with the market snapshot that its prediction names.

    Args:
        own: (n, OWN_COUNT + 1), as in :class:`GoldenAnswer`.
        market_times: Per row: the snapshot's time, ms; None where the prediction names none.
        snapshots: Block of each market time.
        scorer: The model version that scored.
        rules: The market's rules.

    Returns:
        Shape (n, 3), float32.

    Raises:
        KeyError: If a prediction names a snapshot that the market's topic does not have.
    """
    groups = rules.trade_groups.count
    nothing = no_snapshot(groups)
    blocks = b"".join([nothing if moment is None else snapshots[moment].tobytes() for moment in market_times])
    return scorer.score(feature_block(np.ascontiguousarray(own).tobytes(), blocks, len(own), groups))
