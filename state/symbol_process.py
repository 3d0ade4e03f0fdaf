"""The keyed process function that holds every symbol's memory in ListState and turns each tick into a feature row."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext, TimeDomain
from pyflink.datastream.state import ListStateDescriptor

from state import codec, records
from state.features import OWN_COUNT
from state.intake import Intake
from state.market_state import group_of
from state.rules import TradingCalendar
from state.stillness import LOOK_EVERY_MS, Stillness
from state.symbol_state import SymbolState
from state.tick import BadTickError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from state.intake import TickTimes
    from state.rules import MarketRules

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

MESSAGE = Types.ROW([Types.STRING(), Types.INT(), Types.INT(), Types.LONG()])
"""What comes in: the raw message (each byte one character, cut), its full size, partition, offset."""

SCORABLE = Types.TUPLE(
    [
        Types.STRING(), Types.STRING(), Types.DOUBLE(), Types.LONG(), Types.INT(), Types.LONG(), Types.INT(),
        Types.LONG(), _BYTES,
    ]
)  # fmt: skip
"""What goes on: symbol, trade id (empty: none), price, event time (ms), partition, offset, number of the tick in the
symbol's session, market second, packed features."""

KEYED_JSON = Types.TUPLE([Types.STRING(), Types.STRING()])
"""A finished message: key and value."""

REALISED = Types.TUPLE(
    [
        Types.STRING(), Types.LONG(), Types.LONG(), Types.INT(), Types.LONG(), Types.DOUBLE(), Types.DOUBLE(),
        Types.STRING(),
    ]
)  # fmt: skip
"""symbol, event time, due time, partition, offset, price, realised price, direction."""

LATE = OutputTag("late ticks", KEYED_JSON)
DEAD_LETTERS = OutputTag("dead letters", KEYED_JSON)
BARS = OutputTag("bars", KEYED_JSON)
ALERTS = OutputTag("symbol alerts", KEYED_JSON)
OUTCOMES = OutputTag("realised outcomes", REALISED)
DEMAND = OutputTag("market demand", Types.TUPLE([Types.LONG()]))

PACKED = struct.Struct(f"<{OWN_COUNT + 1}f")
"""The packed features: the symbol's own block, then its contract group (-1: unknown)."""


class _Live:
    """A symbol's memory while this worker holds it."""

    __slots__ = ("entries", "keys", "settle_timer", "state", "timer")

    def __init__(self, state: SymbolState, entries: int) -> None:
        self.state = state
        self.entries = entries
        self.keys: list[int] = []
        self.timer: int | None = None
        self.settle_timer = False


class SymbolProcess(KeyedProcessFunction):  # type: ignore[misc]
    """Parses, validates, orders and remembers one symbol's ticks.

    Main output: one :data:`SCORABLE` for each tick that is valid, neither late nor a duplicate.

    Args:
        rules: The market's rules.
        times: Bounds on a tick's time.
        topic: Name of the topic the ticks come from, for dead letters.
        market_lag_s: A tick is scored with the market snapshot of so many seconds before it.
    """

    def __init__(self, rules: MarketRules, times: TickTimes, topic: str, market_lag_s: int) -> None:
        self._rules = rules
        self._times = times
        self._topic = topic
        self._market_lag_s = market_lag_s

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called once a worker, before its first tick."""
        self._journal = runtime_context.get_list_state(ListStateDescriptor("window", _BYTES))
        self._trade_keys = runtime_context.get_list_state(ListStateDescriptor("trade keys", _BYTES))
        # The bytes above are the truth; this holds them unpacked for as long as this worker lives.
        self._live: dict[str, _Live] = {}
        self._intake = Intake(self._rules, self._times)
        self._calendar = TradingCalendar(self._rules)
        self._stillness = Stillness(self._times, self._calendar, _now())
        groups = self._rules.trade_groups
        self._group_digits = slice(groups.from_digit, groups.to_digit)
        self._demanded = 0
        metrics = runtime_context.get_metrics_group()
        self._duplicates = metrics.counter("ticks_duplicate")
        self._late = metrics.counter("ticks_late")
        self._dead = metrics.counter("ticks_dead_letter")

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """One Kafka message."""
        raw_text, size, partition, offset = value
        symbol = ctx.get_current_key()
        record_time = ctx.timestamp()
        raw = raw_text.encode("latin-1") if raw_text is not None else None
        now = _now()
        self._stillness.arrived(now)
        try:
            tick = self._intake.admit(raw, size, symbol, record_time, now)
        except BadTickError as error:
            self._dead.inc()
            record = records.dead_letter_record(raw or b"", size or 0, str(error), self._topic, partition, offset, now)
            yield DEAD_LETTERS, (symbol, records.to_json(record))
            return
        live = self._live.get(symbol) or self._recall(symbol)
        state = live.state
        event_time = tick.event_time
        self._stillness.traded(event_time)
        watermark = max(ctx.timer_service().current_watermark(), state.clock)
        if event_time <= watermark:
            self._late.inc()
            yield LATE, (symbol, records.to_json(records.late_record(tick, watermark, partition, offset)))
            return
        key = codec.trade_key(tick.trade_id)
        if key is not None and state.repeats(event_time, key):
            self._duplicates.inc()
            return
        session = state.session
        features = state.apply(event_time, tick.price, tick.volume, key, partition, offset)
        if state.session != session:
            self._compact(live, new_session=True)
        else:
            self._remember(live, codec.encode_trade(event_time, tick.price, tick.volume, key, partition, offset), key)
        self._set_timers(live, ctx)
        market_second = event_time // 1000 - self._market_lag_s
        if market_second > self._demanded:
            self._demanded = market_second
            yield DEMAND, (market_second,)
        group = group_of(tick.trade_id, self._group_digits)
        packed = PACKED.pack(*features, group)
        # A tuple's fields can't be null: no id travels as an empty one.
        trade_id = tick.trade_id or ""
        yield symbol, trade_id, tick.price, event_time, partition, offset, state.trades, market_second, packed
        for alert in state.take_alerts():
            yield ALERTS, (symbol, records.to_json(records.alert_record(symbol, alert)))

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """Event time has passed something's end; or a while has gone by in which nothing came at all."""
        symbol = ctx.get_current_key()
        live = self._live.get(symbol) or self._recall(symbol)
        state = live.state
        watermark = ctx.timer_service().current_watermark()
        now = _now()
        self._stillness.look(now, watermark)
        if ctx.time_domain() == TimeDomain.PROCESSING_TIME:
            live.settle_timer = False
            last_due = state.last_due
            if last_due is not None:
                watermark = self._stillness.settled(now, last_due)
        elif live.timer is not None and timestamp >= live.timer:
            live.timer = None
        yield from self._advance(symbol, live, watermark)
        self._set_timers(live, ctx)

    def _advance(self, symbol: str, live: _Live, watermark: int) -> Iterator[Any]:
        state = live.state
        due = state.next_due
        if due is None or due > watermark:
            return
        session = state.session
        bars, outcomes = state.advance(watermark)
        if state.session != session:
            self._compact(live, new_session=True)
        else:
            self._remember(live, codec.encode_clock(watermark), None)
        for bar in bars:
            yield BARS, (symbol, records.to_json(records.bar_record(symbol, bar)))
        for one in outcomes:
            yield (
                OUTCOMES,
                (
                    symbol,
                    one.event_time,
                    one.due_time,
                    one.partition,
                    one.offset,
                    one.price,
                    one.realised_price,
                    one.direction,
                ),
            )

    def _set_timers(self, live: _Live, ctx: Any) -> None:
        """Keeps one event-time timer for what is due next, and one in processing time against a stream that stops."""
        due = live.state.next_due
        if due is None:
            return
        service = ctx.timer_service()
        if live.timer is None or due < live.timer:
            live.timer = due
            service.register_event_time_timer(due)
        if not live.settle_timer and live.state.last_due is not None:
            live.settle_timer = True
            service.register_processing_time_timer(_now() + LOOK_EVERY_MS)

    def _recall(self, symbol: str) -> _Live:
        """Unpacks a symbol's memory out of Flink's state: after a restore, or in a new worker."""
        state = SymbolState(symbol, self._rules, self._calendar)
        entries = codec.restore(state, self._journal.get() or (), self._trade_keys.get() or ())
        live = _Live(state, entries)
        if entries:
            self._compact(live, new_session=False, all_keys=True)
        self._live[symbol] = live
        return live

    def _remember(self, live: _Live, entry: bytes, key: int | None) -> None:
        if key is not None:
            live.keys.append(key)
        live.entries += 1
        if live.entries >= codec.COMPACT_AFTER:
            self._compact(live, new_session=False)
        else:
            self._journal.add(entry)

    def _compact(self, live: _Live, *, new_session: bool, all_keys: bool = False) -> None:
        """Folds the journal into a new snapshot; its trade keys join those kept beside it."""
        self._journal.update([codec.encode_snapshot(live.state)])
        if new_session or all_keys:
            self._trade_keys.clear()
            keys: Iterable[int] = live.state.seen
        else:
            keys = live.keys
        if keys:
            self._trade_keys.add(codec.encode_keys(keys))
        live.keys = []
        live.entries = 0


def _now() -> int:
    return int(time.time() * 1000)
