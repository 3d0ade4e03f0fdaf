"""The golden answer: what the log of ticks must give, computed offline by the very code that the job runs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from state import codec, records
from state.features import NO_MARKET, complete
from state.intake import Intake
from state.market_state import group_of
from state.rules import TradingCalendar
from state.symbol_state import SymbolState
from state.tick import BadTickError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    import numpy as np
    from numpy.typing import NDArray

    from state.intake import TickTimes
    from state.market_board import MarketBoard
    from state.rules import MarketRules
    from state.tick import Tick

END_OF_TIME = 2**62

NOT_RECORDED: Mapping[Position, int] = MappingProxyType({})


class Position(NamedTuple):
    """Where a tick stands in its topic."""

    partition: int
    offset: int


class Message(NamedTuple):
    """One record of the ticks' topic.

    Attributes:
        position: Where it stands.
        record_time: The event time that the watermark follows, ms.
        value: Its bytes; None for a null message.
        key: Its key; None where it has none.
    """

    position: Position
    record_time: int
    value: bytes | None
    key: str | None = None


@dataclass
class GoldenAnswer:
    """What must stand in the result topics.

    Attributes:
        ticks: By position, each tick that must have a prediction; each symbol's in the order in which they were
            taken in.
        sequences: By position: number of the tick in its symbol's session, from 1.
        own: The ticks' own features, `OWN_COUNT` float32 each, and their contract groups, in the order of `ticks`.
        duplicates: Positions of repeated trades.
        invalid: Why messages are no ticks, by position.
        bars: (symbol, interval, window start) → message.
        outcomes: Position → (realised direction, realised price, due time).
        alerts: (rule, position) → message.
    """

    ticks: dict[Position, Tick] = field(default_factory=dict)
    sequences: dict[Position, int] = field(default_factory=dict)
    own: list[tuple[bytes, int]] = field(default_factory=list)
    duplicates: set[Position] = field(default_factory=set)
    invalid: dict[Position, str] = field(default_factory=dict)
    bars: dict[tuple[str, str, int], dict[str, object]] = field(default_factory=dict)
    outcomes: dict[Position, tuple[str, float, int]] = field(default_factory=dict)
    alerts: dict[tuple[str, Position], dict[str, object]] = field(default_factory=dict)

    @property
    def accepted(self) -> list[Position]:
        """Position of each tick that must have a prediction."""
        return list(self.ticks)


def golden_answer(
    messages: Iterable[Message],
    set_aside: AbstractSet[Position],
    rules: MarketRules,
    times: TickTimes,
    recorded: Mapping[Position, int] = NOT_RECORDED,
) -> GoldenAnswer:
    """Folds the log.

    Args:
        messages: All ticks; each partition's in its order.
        set_aside: Positions of late ticks and dead letters: arrival and the clock decided those, so they are taken
            as recorded.
        rules: The market's rules.
        times: Bounds on a tick's time.
        recorded: Sequence that each prediction tells. Ticks of one symbol that stand in several partitions, because
            they were sent without a key, came to the job in an order that only these tell.
    """
    intake = Intake(rules, times)
    answer = GoldenAnswer()
    logs: dict[str, dict[int, deque[_Entry]]] = {}
    for position, record_time, value, key in messages:
        if position in set_aside:
            continue
        try:
            tick = intake.admit(value, None if value is None else len(value), key, record_time, END_OF_TIME)
        except BadTickError as error:
            answer.invalid[position] = str(error)
            continue
        entry = _Entry(position, tick, recorded.get(position))
        logs.setdefault(tick.symbol, {}).setdefault(position.partition, deque()).append(entry)
    calendar = TradingCalendar(rules)
    for symbol, log in logs.items():
        _fold(SymbolState(symbol, rules, calendar), log.values(), rules, calendar, answer)
    return answer


class _Entry(NamedTuple):
    position: Position
    tick: Tick
    sequence: int | None


def _fold(
    state: SymbolState,
    log: Iterable[deque[_Entry]],
    rules: MarketRules,
    calendar: TradingCalendar,
    answer: GoldenAnswer,
) -> None:
    """Takes one symbol's ticks in: its part of the answer."""
    symbol = state.symbol
    group_digits = slice(rules.trade_groups.from_digit, rules.trade_groups.to_digit)
    for position, tick, _ in _in_order(list(log), state, calendar):
        key = codec.trade_key(tick.trade_id)
        if key is not None and state.repeats(tick.event_time, key):
            answer.duplicates.add(position)
            continue
        own = state.apply(tick.event_time, tick.price, tick.volume, key, *position)
        answer.own.append((own, group_of(tick.trade_id, group_digits)))
        answer.ticks[position] = tick
        answer.sequences[position] = state.trades
        for alert in state.take_alerts():
            answer.alerts[alert.rule, position] = records.alert_record(symbol, alert)
    bars, realised = state.advance(END_OF_TIME)
    for bar in bars:
        answer.bars[symbol, bar.interval, bar.window_start] = records.bar_record(symbol, bar)
    for one in realised:
        position = Position(one.partition, one.offset)
        answer.outcomes[position] = (one.direction, one.realised_price, one.due_time)


def _in_order(log: list[deque[_Entry]], state: SymbolState, calendar: TradingCalendar) -> Iterator[_Entry]:
    """The entries of all partitions in the order in which the job took them in, as far as sequences tell it.

    The caller folds each entry into the state before it asks for the next.
    """
    while len(log) > 1:
        yield _holder_of_next(log, state, calendar).popleft()
        log = [partition for partition in log if partition]
    for partition in log:
        yield from partition


def _holder_of_next(log: list[deque[_Entry]], state: SymbolState, calendar: TradingCalendar) -> deque[_Entry]:
    """The partition whose first entry comes next.

    An entry without a sequence was dropped as a duplicate, or its prediction is lost: it goes where a number is
    missing, and before the next day.
    """
    told = [partition for partition in log if partition[0].sequence is not None]
    untold = [partition for partition in log if partition[0].sequence is None]
    if not told or not untold:
        return min(told, key=lambda partition: _rank(partition[0], calendar), default=log[0])
    following = min(told, key=lambda partition: _rank(partition[0], calendar))
    day, sequence = _rank(following[0], calendar)
    earlier = [partition for partition in untold if _rank(partition[0], calendar)[0] < day]
    taken = state.trades if state.session[0] == day else 0
    return following if sequence == taken + 1 and not earlier else (earlier or untold)[0]


def _rank(entry: _Entry, calendar: TradingCalendar) -> tuple[int, int]:
    return calendar.day_of(entry.tick.event_time).start, entry.sequence or 0


def golden_features(
    own: Sequence[tuple[bytes, int]], market_times: Sequence[int | None], board: MarketBoard
) -> NDArray[np.float32]:
    """What the model sees of ticks, each with the market snapshot that its prediction names.

    Args:
        own: Own features and group, as in :class:`GoldenAnswer`.
        market_times: Per tick: the snapshot's time, ms; None where the prediction names none.
        board: All snapshots.

    Returns:
        Shape (n, FEATURE_COUNT), float32.

    Raises:
        KeyError: If a prediction names a snapshot that the market's topic does not have.
    """
    parts: list[bytes] = []
    for (features, group), moment in zip(own, market_times, strict=True):
        parts += (features, NO_MARKET if moment is None else board.columns(moment // 1000, group))
    return complete(b"".join(parts), len(own))
