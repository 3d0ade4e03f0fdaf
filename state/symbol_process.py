"""The keyed process function that holds every symbol's memory in ListState and turns each tick into a feature row."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext, TimeDomain
from pyflink.datastream.state import ListStateDescriptor

from state import codec, records
from state.features import OWN_COUNT
from state.market_state import group_of
from state.rules import TradingCalendar
from state.symbol_state import SymbolState
from state.tick import MAX_RAW_BYTES, BadTickError, TickParser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from state.rules import MarketRules
    from state.tick import Tick

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

MESSAGE = Types.ROW([Types.STRING(), Types.INT(), Types.INT(), Types.LONG()])
"""What comes in: the raw message (each byte one character, cut), its full size, partition, offset."""

SCORABLE = Types.TUPLE(
    [Types.STRING(), Types.STRING(), Types.DOUBLE(), Types.LONG(), Types.INT(), Types.LONG(), Types.LONG(), _BYTES]
)
"""What goes on: symbol, trade id, price, event time (ms), partition, offset, market second, packed features."""

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


@dataclass(frozen=True)
class TickTimes:
    """Bounds on the time of a tick, all in ms.

    Attributes:
        out_of_orderness: How far the message's own time may be from the record's, whose clock the watermark follows.
        max_ahead: How far a trade may be ahead of this machine's clock.
        earliest: The oldest believable trade time.
        close_after: After so long without any tick or watermark, what waits is settled.
    """

    out_of_orderness: int
    max_ahead: int
    earliest: int
    close_after: int


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
        limits = self._rules.limits
        self._parser = TickParser(self._rules.symbols.pattern, limits.max_price, limits.max_volume)
        self._calendar = TradingCalendar(self._rules)
        groups = self._rules.trade_groups
        self._group_digits = slice(groups.from_digit, groups.to_digit)
        self._demanded = 0
        self._watermark = -(2**63)
        self._moved_at = time.time()
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
        now = time.time()
        self._moved_at = now
        try:
            tick = self._valid(raw, size, symbol, record_time, int(now * 1000))
        except BadTickError as error:
            self._dead.inc()
            record = records.dead_letter_record(
                raw or b"", size or 0, str(error), self._topic, partition, offset, int(now * 1000)
            )
            yield DEAD_LETTERS, (symbol, records.to_json(record))
            return
        live = self._live.get(symbol) or self._recall(symbol)
        state = live.state
        event_time = tick.event_time
        watermark = max(ctx.timer_service().current_watermark(), state.clock)
        if event_time <= watermark:
            self._late.inc()
            yield LATE, (symbol, records.to_json(records.late_record(tick, watermark, partition, offset)))
            return
        key = codec.trade_key(tick.trade_id)
        if key is not None and key in state.seen:
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
        yield symbol, tick.trade_id, tick.price, event_time, partition, offset, market_second, packed
        for alert in state.take_alerts():
            yield ALERTS, (symbol, records.to_json(records.alert_record(symbol, alert)))

    def _valid(self, raw: bytes | None, size: int | None, symbol: str, record_time: int, now: int) -> Tick:
        if size is not None and size > MAX_RAW_BYTES:
            raise BadTickError(f"the message of {size} bytes is longer than {MAX_RAW_BYTES}")
        tick = self._parser.parse(raw, record_time)
        if tick.symbol != symbol:
            raise BadTickError(f"the record's key {symbol[:40]!r} is not its symbol {tick.symbol!r}")
        event_time, times = tick.event_time, self._times
        if event_time > now + times.max_ahead:
            raise BadTickError(
                f"the trade's time {event_time} is {event_time - now} ms ahead of the clock, "
                f"more than the {times.max_ahead} allowed (event_time.max_ahead_s)"
            )
        if event_time < times.earliest:
            raise BadTickError(f"the trade's time {event_time} lies before event_time.earliest ({times.earliest})")
        if abs(event_time - record_time) > times.out_of_orderness:
            raise BadTickError(
                f"the message's time {event_time} is {abs(event_time - record_time)} ms from its record's: "
                "set event_time.source=payload for producers whose record time is not the trade's"
            )
        return tick

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """Event time has passed something's end; or a while has gone by in which nothing came at all."""
        symbol = ctx.get_current_key()
        live = self._live.get(symbol) or self._recall(symbol)
        state = live.state
        watermark = ctx.timer_service().current_watermark()
        if watermark != self._watermark:
            self._watermark = watermark
            self._moved_at = time.time()
        if ctx.time_domain() == TimeDomain.PROCESSING_TIME:
            live.settle_timer = False
            last_due = state.last_due
            silent = (time.time() - self._moved_at) * 1000 >= self._times.close_after
            if last_due is not None and silent and last_due > watermark:
                watermark = last_due
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
            service.register_processing_time_timer(int(time.time() * 1000) + self._times.close_after)

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
