"""The process function that turns the market's seconds into snapshots, one for every second of event time.

It is also where a new model version comes into force: each snapshot names the versions that score the ticks which see
it, so that the change is one point in event time, the same for every symbol.
"""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext, TimeDomain
from pyflink.datastream.state import ListStateDescriptor

from state import records
from state.codec import require_form
from state.market_fold import MarketFold
from state.pulse import Pulse
from state.rules import TradingCalendar
from state.stillness import LOOK_EVERY_MS
from state.symbol_process import BYTES, KEYED_JSON
from state.warm import warm_up

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from state.market_state import MarketSnapshot
    from state.model_control import ModelControl
    from state.rules import MarketRules

SECOND = Types.ROW([Types.LONG(), Types.STRING()])
"""What comes in: an epoch second and its rows (see `parse_second`), or :data:`COMMAND` and a command to the models."""

COMMAND = -1

SNAPSHOT = Types.TUPLE([Types.LONG(), BYTES, Types.STRING(), BYTES])
"""What goes on: the second, the block of float32 numbers that the model sees, the names of the model versions with a
blank between them (the active one, then the shadow), the message for the market topic."""

MARKET_ALERTS = OutputTag("market alerts", KEYED_JSON)

WAKE_UPS = OutputTag("wake-ups", Types.TUPLE([Types.STRING(), Types.LONG()]))
"""After a restore, once for every symbol of the day: the symbol, and the market's second. Beside it, with every
snapshot, one for :data:`NOBODY`."""

NOBODY = ""
"""No symbol's name. A stream without any element has no event time either, and what it joins would stand still."""

VERSION = 2
_ENTRY = struct.Struct("<BBq")
_SNAPSHOT_KIND, _SECOND_KIND, _GIVEN_KIND, _SILENT_KIND, _VERSIONS_KIND = 1, 2, 3, 4, 5
_COMPACT_AFTER = 600
_LIVE_S = 60.0
"""A market whose seconds come within so long is live: its silence is heard by the clock on the wall, too."""


class MarketProcess(KeyedProcessFunction):  # type: ignore[misc]
    """Holds the :class:`MarketFold`; event-time timers give the seconds in which nothing traded.

    Args:
        rules: The market's rules.
        lead_s: Snapshots begin so many seconds before a day's first trade.
        models: Decides on commands to the models.
    """

    def __init__(self, rules: MarketRules, lead_s: int, models: ModelControl) -> None:
        self._rules = rules
        self._lead_s = lead_s
        self._models = models
        self._silence_ms = round(rules.alerts.trading_halt.silence_s * 1000)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called once, before the first second."""
        warm_up()
        self._journal = runtime_context.get_list_state(ListStateDescriptor("market", BYTES))
        self._fold: MarketFold | None = None
        self._entries = 0
        self._timer = 0
        self._listen_at: int | None = None
        self._heard_at = 0.0
        self._lag_s = float("inf")
        self._pulse = Pulse(LOOK_EVERY_MS)

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """A finished second, or a command."""
        second, text = value
        fold = yield from self._awake()
        if not self._entries:  # from now on the state says which versions score, whatever a later submit says
            self._remember(_ENTRY.pack(VERSION, _VERSIONS_KIND, 0) + self._models.dump())
        if second == COMMAND:
            yield from self._obey(text)
            self._set_timers(ctx)
            return
        self._heard_at = time.time()
        self._lag_s = self._heard_at - second
        snapshots = fold.take(second, text)
        self._remember(_ENTRY.pack(VERSION, _SECOND_KIND, second) + text.encode())
        yield from self._emit(snapshots)
        self._set_timers(ctx)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """A second has passed in event time, or the clock on the wall says that the market is silent; or a pulse."""
        fold = yield from self._awake()
        if ctx.time_domain() == TimeDomain.PROCESSING_TIME:
            if self._listen_at is not None and timestamp >= self._listen_at:
                self._listen_at = None
                if (time.time() - self._heard_at) * 1000 >= self._silence_ms:
                    self._lag_s = float("inf")  # told once, until it is heard again
                    second = int(time.time())
                    fold.silence(second)
                    self._remember(_ENTRY.pack(VERSION, _SILENT_KIND, second))
                    yield from self._emit([])
        else:
            self._timer = 0
            second = (ctx.timer_service().current_watermark() + 1) // 1000 - 1
            if second > _FOREVER_S:
                return
            if second > fold.emitted:
                snapshots = fold.give(second)
                self._remember(_ENTRY.pack(VERSION, _GIVEN_KIND, second))
                yield from self._emit(snapshots)
        self._set_timers(ctx)

    def _set_timers(self, ctx: Any) -> None:
        """Keeps one event-time timer at the end of the next second, one by the clock against silence, and the pulse."""
        service = ctx.timer_service()
        self._pulse.keep(service, int(time.time() * 1000))
        assert self._fold is not None  # noqa: S101 - there is one before any timer
        following = (self._fold.emitted + 2) * 1000 - 1
        if following > self._timer:
            self._timer = following
            service.register_event_time_timer(following)
        if self._listen_at is None and self._lag_s < _LIVE_S:
            self._listen_at = int(self._heard_at * 1000) + self._silence_ms + 1000
            service.register_processing_time_timer(self._listen_at)

    def _awake(self) -> Generator[Any, None, MarketFold]:
        """The fold. Recalled once a worker, it wakes its symbols: a checkpoint may lack timers (`state.pulse`)."""
        fold = self._fold
        if fold is None:
            fold = self._recall()
            for symbol in fold.symbols:
                yield WAKE_UPS, (symbol, fold.emitted)
        return fold

    def _obey(self, text: str) -> Iterator[Any]:
        changed, alert = self._models.decide(text, int(time.time() * 1000))
        if changed:
            self._remember(_ENTRY.pack(VERSION, _VERSIONS_KIND, 0) + self._models.dump())
        if alert is not None:
            yield MARKET_ALERTS, records.keyed_json(records.MARKET_SYMBOL, alert)

    def _emit(self, snapshots: list[MarketSnapshot]) -> Iterator[Any]:
        versions = self._models.versions
        for snapshot in snapshots:
            message = records.to_json(records.market_record(snapshot, versions))
            yield snapshot.second, snapshot.block.tobytes(), " ".join(versions), message
        if snapshots:
            yield WAKE_UPS, (NOBODY, snapshots[-1].second)
        assert self._fold is not None  # noqa: S101 - a snapshot comes out of a fold
        for alert in self._fold.take_alerts():
            yield MARKET_ALERTS, records.keyed_json(records.MARKET_SYMBOL, records.market_alert_record(alert))

    def _recall(self) -> MarketFold:
        fold = MarketFold(self._rules, TradingCalendar(self._rules), self._lead_s)
        for element in self._journal.get() or ():
            version, kind, second = _ENTRY.unpack_from(element)
            require_form("the market's state", version, VERSION)
            body = element[_ENTRY.size :]
            if kind == _SNAPSHOT_KIND:
                fold.load(body)
            elif kind == _SECOND_KIND:
                fold.take(second, body.decode())
            elif kind == _VERSIONS_KIND:
                self._models.load(body)
            elif kind == _GIVEN_KIND:
                fold.give(second)
            else:
                fold.silence(second)
            self._entries += 1
        fold.take_alerts()
        self._fold = fold
        return fold

    def _remember(self, entry: bytes) -> None:
        self._entries += 1
        if self._entries < _COMPACT_AFTER or self._fold is None:
            self._journal.add(entry)
        else:
            self._journal.update(
                [
                    _ENTRY.pack(VERSION, _SNAPSHOT_KIND, 0) + self._fold.dump(),
                    _ENTRY.pack(VERSION, _VERSIONS_KIND, 0) + self._models.dump(),
                ]
            )
            self._entries = 0


_FOREVER_S = 10**12
"""A watermark beyond it is the end of all input, not a time."""
