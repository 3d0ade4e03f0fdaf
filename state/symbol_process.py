"""The keyed process function that holds every symbol's memory in ListState and has the model score each tick.

Its second input, the same for all subtasks, are the market's snapshots. A tick is scored with the snapshot of a fixed
time before it: if that is not there yet the tick waits for it, so that the log decides what it sees, not the moment.
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Any

from pyflink.common import Types
from pyflink.datastream import KeyedBroadcastProcessFunction, OutputTag, RuntimeContext, TimeDomain
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor

from state import codec, records
from state.intake import Intake
from state.journal import Memory
from state.keyed_states import at_bundle_end, hasten
from state.market_board import Lives, MarketBoard
from state.market_state import group_of
from state.outcomes import SETTLE_EVERY_MS
from state.rules import TradingCalendar
from state.stillness import END_OF_INPUT, LOOK_EVERY_MS, Stillness
from state.symbol_state import SymbolState
from state.tick import BadTickError
from state.warm import warm_up

if TYPE_CHECKING:
    from state.intake import TickTimes
    from state.outcomes import Realised
    from state.records import KeyedJson
    from state.requests import Request
    from state.rules import MarketRules
    from state.scoring import Scoring
    from state.tick import Tick

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

MESSAGE = Types.ROW([Types.STRING(), Types.INT(), Types.INT(), Types.LONG()])
"""First input: the raw message (each byte one character, cut), its full size, partition, offset; or a wake-up, with
:data:`NOWHERE` for its partition."""

NOWHERE = -1

BROADCAST_SNAPSHOT = Types.ROW([Types.LONG(), BYTES, Types.STRING(), Types.SQL_TIMESTAMP()])
"""Second input: a snapshot's epoch second, its block, the names of its model versions, its event time."""

KEYED_JSON = Types.TUPLE([BYTES, BYTES])
"""A finished message: key and value."""

RESULTS = Types.TUPLE([Types.STRING(), Types.OBJECT_ARRAY(KEYED_JSON)])
"""Main output: which results, one of the names below, and a list of their messages."""

PREDICTIONS, OUTCOMES, BARS, ALERTS, LATE, DEAD_LETTERS = KINDS = (
    "predictions",
    "outcomes",
    "bars",
    "alerts",
    "late",
    "dead-letters",
)

OBSERVED = OutputTag("observed", BYTES)
"""What outcomes add to the live scores (`state.quality_watch`)."""

SNAPSHOTS = MapStateDescriptor("market snapshots", Types.INT(), BYTES)
"""The broadcast state: the newest snapshots, in a ring by their second, and under `_LIVES` the workers' lives."""

_LIVES = -1

_BEHIND_MS = 60_000
_BEHIND_PATIENCE = 20
"""A history that is read again at full speed has no reader who waits: while it moves, its ticks wait so many times
longer."""
_STILL_PATIENCE = 5
"""It no longer moves when nothing has come for so many times the patience of a live tick."""


_MOST_TOGETHER = 500
"""Requests and other results that are handed on as one, but for those that a symbol has due at the same moment; more of
them save nothing."""

_USUAL_BYTES = 1024
"""Most messages are shorter. A dead letter may be a hundred times as long, and 500 of those would be one element."""

_SETTLED, _SETTLED_A_TICK = 400, 2
"""Outcomes of one bundle: so many, and so many for each tick of the bundle before. When event time leaps, after a
silence or an overload, tens of thousands fall due just when ticks come again, which have no time to wait for them."""

_AGAIN_MS = 10
"""Symbols that found no room come again one after the other: the engine lets what has a time go before what waits for
its turn, and hundreds at once would keep out the ticks."""

_OVERLOADED = 200
"""A job that keeps up has a few dozen ticks in a bundle, at NEPSE's peak; one that is behind has thousands."""

_MOST_CONFLATED = 1000
"""So many skipped ticks one prediction names: its message must stay one that the broker takes."""


class SymbolProcess(KeyedBroadcastProcessFunction):  # type: ignore[misc]
    """Parses, validates, orders and remembers one symbol's ticks.

    Each tick that is valid, neither late nor a duplicate, is scored once, together with all others of its bundle.

    Args:
        rules: The market's rules.
        times: Bounds on a tick's time.
        topic: Name of the topic the ticks come from, for dead letters.
        market_lag_s: A tick is scored with the market snapshot of so many seconds before it.
        patience_ms: So long a tick waits for that snapshot.
        version: The model version that scores ticks which have no snapshot to say it.
        scoring: Asks the model.
        conflates: Whether under overload only the newest of a symbol's waiting ticks is scored.
    """

    def __init__(
        self,
        rules: MarketRules,
        times: TickTimes,
        topic: str,
        market_lag_s: int,
        patience_ms: int,
        version: str,
        scoring: Scoring,
        *,
        conflates: bool = False,
    ) -> None:
        self._rules = rules
        self._times = times
        self._topic = topic
        self._market_lag_s = market_lag_s
        self._patience_ms = patience_ms
        self._version = version
        self._scoring = scoring
        self._conflates = conflates
        self._submission = time.time_ns()

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called once a worker, before its first tick."""
        warm_up()
        self._scoring.open(runtime_context)
        hasten(runtime_context)
        self._log = runtime_context.get_list_state(ListStateDescriptor("window", BYTES))
        self._trade_keys = runtime_context.get_list_state(ListStateDescriptor("trade keys", BYTES))
        # The bytes above are the truth; this holds them unpacked for as long as this worker lives.
        self._memories: dict[str, Memory] = {}
        self._waiting: dict[int, list[Request]] = {}
        self._asked: list[Request] = []
        self._judged: list[tuple[Request, Realised]] = []
        self._told: dict[str, list[KeyedJson]] = {}
        """Finished messages that have not been handed on yet, by their kind."""
        self._told_count = 0
        """How many they are, long ones counted several times."""
        # Of the requests that have not been handed on yet: each symbol's newest, how many ticks they come from, and how
        # many of them are skipped.
        self._newest: dict[str, Request] = {}
        self._taken = self._skipped = 0
        self._came = self._settled = 0
        """Ticks and outcomes in this bundle."""
        self._most_settled = _SETTLED
        self._turn = 0
        self._gathers = at_bundle_end(runtime_context, self._end_bundle)
        self._moved_at = _now()
        self._board: MarketBoard | None = None
        self._has_begun = False
        self._attempt = runtime_context.get_attempt_number()
        self._intake = Intake(self._rules, self._times)
        self._calendar = TradingCalendar(self._rules)
        self._stillness = Stillness(self._times, self._calendar, _now())
        groups = self._rules.trade_groups
        self._group_digits = slice(groups.from_digit, groups.to_digit)
        metrics = runtime_context.get_metrics_group()
        self._duplicates = metrics.counter("ticks_duplicate")
        self._late = metrics.counter("ticks_late")
        self._dead = metrics.counter("ticks_dead_letter")
        self._conflated = metrics.counter("ticks_conflated")

    def process_element(self, value: Any, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> list[Any] | None:
        """One Kafka message, or a wake-up: the checkpoint that this worker began with may lack the symbol's timers."""
        raw_text, size, partition, offset = value
        symbol = ctx.get_current_key()
        now = _now()
        if partition == NOWHERE:
            if symbol not in self._memories:
                self._set_timers(self._recall(symbol, ctx, now), ctx, now)
            return self._results()
        raw = raw_text.encode("latin-1") if raw_text is not None else None
        self._stillness.arrived(now)
        self._moved_at = now
        self._came += 1
        try:
            tick = self._intake.admit(raw, size, symbol, ctx.timestamp(), now)
        except BadTickError as error:
            self._dead.inc()
            record = records.dead_letter_record(raw or b"", size or 0, str(error), self._topic, partition, offset, now)
            self._tell(DEAD_LETTERS, symbol, record)
            return self._results()
        memory = self._memories.get(symbol)
        if memory is None:
            memory = self._recall(symbol, ctx, now)
        state = memory.state
        event_time = tick.event_time
        self._stillness.traded(event_time)
        watermark = max(ctx.timer_service().current_watermark(), state.clock)
        if event_time <= watermark:
            self._late.inc()
            self._tell(LATE, symbol, records.late_record(tick, watermark, partition, offset))
            return self._results()
        key = codec.trade_key(tick.trade_id)
        if key is not None and state.repeats(event_time, key):
            self._duplicates.inc()
            return self._results()
        request = self._remember(memory, tick, key, partition, offset)
        self._ask(memory, request, ctx, now)
        self._set_timers(memory, ctx, now)
        for alert in state.take_alerts():
            self._tell(ALERTS, symbol, records.alert_record(symbol, alert))
        return self._results()

    def process_broadcast_element(self, value: Any, ctx: KeyedBroadcastProcessFunction.Context) -> list[Any]:
        """The next market snapshot: whoever has waited for it asks the model, and so does who has waited in vain."""
        second, block, versions, _ = value
        board = self._board or self._read_board(ctx)
        if second <= board.newest:
            return []
        self._moved_at = _now()
        snapshots = ctx.get_broadcast_state(SNAPSHOTS)
        snapshots.put(board.place(second), board.post(second, block, tuple(versions.split())))
        for place in board.forget(ctx.current_watermark() // 1000):
            snapshots.remove(place)
        if not self._has_begun:
            self._has_begun = True
            snapshots.put(_LIVES, self._lives.pack(self._life))
        for due in sorted(waited for waited in self._waiting if waited <= second):
            for request in self._waiting.pop(due):
                if not request.answered:
                    self._asked.append(self._answer(request))
        return self._results()

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> list[Any]:
        """Event time has passed something's end; or a while has gone by in which nothing came at all."""
        symbol = ctx.get_current_key()
        now = _now()
        memory = self._memories.get(symbol) or self._recall(symbol, ctx, now)
        watermark = ctx.timer_service().current_watermark()
        self._stillness.look(now, watermark)
        if ctx.time_domain() == TimeDomain.PROCESSING_TIME:
            # A timer from before a restore does not set the next one: there would be one more after each.
            if memory.look_at is not None and timestamp >= memory.look_at:
                memory.look_at = None
            self._give_up(memory, now)
            last_due = memory.state.last_due
            if last_due is not None:
                watermark = self._stillness.settled(now, last_due)
        elif memory.timer is not None and timestamp >= memory.timer:
            memory.timer = None
        if not self._settle(symbol, memory, watermark):
            memory.look_at = self._turn = max(self._turn, now) + _AGAIN_MS
            ctx.timer_service().register_processing_time_timer(memory.look_at)
        self._set_timers(memory, ctx, now)
        return self._results()

    def _remember(self, memory: Memory, tick: Tick, key: int | None, partition: int, offset: int) -> Request:
        """Takes a tick into the symbol's state and journal."""
        event_time = tick.event_time
        own = memory.state.apply(event_time, tick.price, tick.volume, key, partition, offset)
        second = event_time // 1000 - self._market_lag_s
        group = group_of(tick.trade_id, self._group_digits)
        trade = codec.Trade(event_time, tick.price, tick.volume, tick.trade_id, partition, offset, second, group)
        return memory.took(trade, key, own)

    def _ask(self, memory: Memory, request: Request, ctx: Any, now: int) -> None:
        """Sends a request to the model if its snapshot is there, or none can come; lets it wait otherwise."""
        board = self._board or self._read_board(ctx)
        if request.second <= board.newest:
            if self._conflates:
                self._conflate(memory, request)
            self._send(memory, request)
            return
        request.since = now
        memory.waiting.append(request)
        self._waiting.setdefault(request.second, []).append(request)
        if memory.look_at is None:
            memory.look_at = now + self._patience_ms
            ctx.timer_service().register_processing_time_timer(memory.look_at)

    def _conflate(self, memory: Memory, request: Request) -> None:
        """Under overload a tick that has not been handed on yet is skipped in favour of its symbol's next one."""
        older, subject = self._newest.get(request.subject.symbol), request.subject
        self._newest[subject.symbol] = request
        self._taken += 1
        if older is None or self._taken < _OVERLOADED:
            return
        # Of the same session, and no straggler.
        is_newer = older.subject.sequence < subject.sequence and older.subject.event_time <= subject.event_time
        if is_newer and len(older.conflated or ()) < _MOST_CONFLATED:
            request.replace(older)
            memory.skipped(older)
            self._skipped += 1
            self._conflated.inc()

    def _send(self, memory: Memory, request: Request) -> None:
        """Sends a request to the model as things stand; one without a snapshot is remembered to have had none."""
        self._asked.append(self._answer(request))
        if request.market_time is None:
            memory.gave_up(request)

    def _answer(self, request: Request) -> Request:
        board = self._board
        assert board is not None  # noqa: S101 - it is read before anything is asked
        versions = board.versions(request.second) or (self._version,)
        if request.second in board:
            request.answer(board.columns(request.second, request.group), versions)
        else:
            request.give_up(versions)
        return request

    def _give_up(self, memory: Memory, now: int) -> None:
        """Sends what has waited too long to the model without a snapshot."""
        is_still = now - self._moved_at >= self._patience_ms * _STILL_PATIENCE
        memory.waiting = [request for request in memory.waiting if not request.answered]
        for request in memory.waiting:
            is_history = now - request.subject.event_time > _BEHIND_MS
            patience_ms = self._patience_ms * (_BEHIND_PATIENCE if is_history and not is_still else 1)
            if now - request.since >= patience_ms:
                self._send(memory, request)

    def _settle(self, symbol: str, memory: Memory, watermark: int) -> bool:
        """Tells what is due; False if more is than this bundle takes."""
        state = memory.state
        due = state.next_due
        if due is None or due > watermark:
            return True
        up_to = watermark
        if self._gathers and watermark != END_OF_INPUT:
            room = self._most_settled - self._settled
            if room <= 0:
                return False
            up_to = min(watermark, state.due_of(room) or watermark)
        self._advance(symbol, memory, up_to)
        return up_to == watermark

    def _advance(self, symbol: str, memory: Memory, watermark: int) -> None:
        bars, outcomes = memory.state.advance(watermark)
        for bar in bars:
            self._tell(BARS, symbol, records.bar_record(symbol, bar))
        self._settled += len(outcomes)
        judged = [(memory.requests.pop((one.partition, one.offset)), one) for one in outcomes]
        for request, one in judged:
            if not request.answered:  # a stream that stopped was given up before its market
                self._asked.append(self._answer(request))
            if not request.is_skipped:
                self._judged.append((request, one))
        memory.moved(watermark)

    def _tell(self, kind: str, symbol: str, record: dict[str, object]) -> None:
        message = records.keyed_json(symbol, record)
        self._told.setdefault(kind, []).append(message)
        self._told_count += 1 + len(message[1]) // _USUAL_BYTES

    def _results(self) -> list[Any]:
        """Results and requests wait for the bundle's end, unless they have become many."""
        gathered = self._told_count + len(self._asked) + len(self._judged) - self._skipped
        return [] if self._gathers and gathered < _MOST_TOGETHER else self._take_results()

    def _end_bundle(self) -> list[Any]:
        self._most_settled = _SETTLED + _SETTLED_A_TICK * self._came
        self._came = self._settled = 0
        return self._take_results()

    def _take_results(self) -> list[Any]:
        """What the model says to all requests since the last time, and all else that there is to tell."""
        asked = [request for request in self._asked if not request.is_skipped] if self._skipped else self._asked
        judged, told = self._judged, self._told
        self._asked, self._judged, self._told = [], [], {}
        self._taken = self._skipped = self._told_count = 0
        self._newest.clear()
        results: list[Any] = []
        if asked or judged:
            predictions, outcomes, observed = self._scoring.answer(asked, judged)
            results = [(kind, said) for kind, said in ((PREDICTIONS, predictions), (OUTCOMES, outcomes)) if said]
            if observed is not None:
                results.append((OBSERVED, observed))
        return results + list(told.items())

    def _set_timers(self, memory: Memory, ctx: Any, now: int) -> None:
        """Keeps one event-time timer for what is due next, and one in processing time against a stream that stops."""
        due = memory.state.next_due
        if due is None:
            return
        due += (memory.settles_at - due) % SETTLE_EVERY_MS
        service = ctx.timer_service()
        if memory.timer is None or due < memory.timer:
            memory.timer = due
            service.register_event_time_timer(due)
        if memory.look_at is None and memory.state.last_due is not None:
            waits = any(not request.answered for request in memory.waiting)
            memory.look_at = now + (min(self._patience_ms, LOOK_EVERY_MS) if waits else LOOK_EVERY_MS)
            service.register_processing_time_timer(memory.look_at)

    def _recall(self, symbol: str, ctx: Any, now: int) -> Memory:
        """Unpacks a symbol's memory out of Flink's state: after a restore, or in a new worker."""
        if self._board is None:
            self._read_board(ctx)
        memory = Memory(SymbolState(symbol, self._rules, self._calendar), self._log, self._trade_keys)
        memory.recall()
        self._memories[symbol] = memory
        covered = self._lives.covered(memory.life)
        for request in memory.requests.values():
            # What was covered by the snapshots that it was in memory for was asked before the checkpoint. The rest is
            # asked now, or waits again: snapshots may have come since while this symbol still lay in Flink's state.
            if request.answered:
                continue
            if request.second <= covered:
                self._answer(request)
            else:
                self._ask(memory, request, ctx, now)
        assert self._board is not None  # noqa: S101 - read above
        memory.lives(self._life, self._board.newest)
        return memory

    def _read_board(self, ctx: Any) -> MarketBoard:
        kept = dict(ctx.get_broadcast_state(SNAPSHOTS).items())
        lives = kept.pop(_LIVES, None)
        board = MarketBoard()
        board.load(kept.values())
        self._board, self._lives = board, Lives(lives, board.newest)
        # The same for all subtasks, which may exchange what they have kept, and another one after each restart.
        self._life = zlib.crc32(f"{self._submission} {self._attempt} {board.newest}".encode())
        return board


def _now() -> int:
    return int(time.time() * 1000)
