"""The process function that turns the market's seconds into snapshots, one for every second of event time."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor

from state import records
from state.codec import StateVersionError
from state.market_fold import MarketFold
from state.rules import TradingCalendar
from state.symbol_process import KEYED_JSON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state.market_state import MarketSnapshot
    from state.rules import MarketRules

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

SECOND = Types.ROW([Types.LONG(), Types.STRING()])
"""What comes in: an epoch second and its rows (see `parse_second`), or null rows for a second that is asked for."""

SNAPSHOT = Types.TUPLE([Types.LONG(), _BYTES, Types.STRING()])
"""What goes on: the second, the block of float32 numbers that the model sees, the message for the market topic."""

MARKET_ALERTS = OutputTag("market alerts", KEYED_JSON)

VERSION = 1
_ENTRY = struct.Struct("<BBq")
_SNAPSHOT_KIND, _SECOND_KIND, _GIVEN_KIND, _SILENT_KIND, _WANTED_KIND = 1, 2, 3, 4, 5
_COMPACT_AFTER = 600
_WARM_UP_S = 10.0
_BEHIND_S = 60.0
_BEHIND_PATIENCE_MS = 10_000
"""A history that is read again at full speed has no reader who waits: its seconds get time to be finished."""


class MarketProcess(KeyedProcessFunction):  # type: ignore[misc]
    """Holds the :class:`MarketFold`; waits no longer than `patience_ms` for seconds that ticks already ask for.

    Args:
        rules: The market's rules.
        lead_s: Snapshots begin so many seconds before a day's first trade.
        patience_ms: After so long without a finished second, what is asked for is given as known.
    """

    def __init__(self, rules: MarketRules, lead_s: int, patience_ms: int) -> None:
        self._rules = rules
        self._lead_s = lead_s
        self._patience_ms = patience_ms

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called once, before the first second."""
        self._journal = runtime_context.get_list_state(ListStateDescriptor("market", _BYTES))
        self._fold: MarketFold | None = None
        self._entries = 0
        self._waiting = False
        # A cold start is slower than any patience: the first seconds get time to arrive.
        self._last_second_at = time.time() + _WARM_UP_S

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """A finished second, or the wish for one."""
        second, text = value
        fold = self._fold or self._recall()
        if text is not None:
            self._last_second_at = max(self._last_second_at, time.time())
            snapshots = fold.take(second, text)
            self._remember(_ENTRY.pack(VERSION, _SECOND_KIND, second) + text.encode())
            yield from self._emit(snapshots)
        elif second > max(fold.demanded, fold.emitted):
            # The tick that waits is kept by Flink; so must be its wish, or nobody would grant it after a restore.
            fold.demand(second)
            self._remember(_ENTRY.pack(VERSION, _WANTED_KIND, second))
        if fold.owes and not self._waiting:
            self._waiting = True
            ctx.timer_service().register_processing_time_timer(int(time.time() * 1000) + self._patience_ms)

    def _is_behind(self) -> bool:
        return self._fold is not None and time.time() - self._fold.demanded > _BEHIND_S

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """Gives what is asked for if no second has been finished for a while; looks again later otherwise."""
        fold = self._fold or self._recall()
        self._waiting = False
        if not fold.owes:
            return
        behind = self._is_behind()
        patience_ms = max(_BEHIND_PATIENCE_MS, self._patience_ms) if behind else self._patience_ms
        if (time.time() - self._last_second_at) * 1000 >= patience_ms:
            second = fold.demanded
            snapshots = fold.give(second)
            if not behind:
                fold.silence(second)
            self._remember(_ENTRY.pack(VERSION, _GIVEN_KIND if behind else _SILENT_KIND, second))
            yield from self._emit(snapshots)
        else:
            self._waiting = True
            ctx.timer_service().register_processing_time_timer(timestamp + self._patience_ms)

    def _emit(self, snapshots: list[MarketSnapshot]) -> Iterator[Any]:
        for snapshot in snapshots:
            yield snapshot.second, snapshot.block.tobytes(), records.to_json(records.market_record(snapshot))
        assert self._fold is not None  # noqa: S101 - a snapshot comes out of a fold
        for alert in self._fold.take_alerts():
            yield MARKET_ALERTS, (records.MARKET_SYMBOL, records.to_json(records.market_alert_record(alert)))

    def _recall(self) -> MarketFold:
        fold = MarketFold(self._rules, TradingCalendar(self._rules), self._lead_s)
        for element in self._journal.get() or ():
            version, kind, second = _ENTRY.unpack_from(element)
            if version != VERSION:
                raise StateVersionError(
                    f"the market's state was written in form {version}, this tickcast reads form {VERSION}: "
                    "start it from a savepoint of its own version, or upgrade through the versions between"
                )
            body = element[_ENTRY.size :]
            if kind == _SNAPSHOT_KIND:
                fold.load(body)
            elif kind == _SECOND_KIND:
                fold.take(second, body.decode())
            elif kind == _WANTED_KIND:
                fold.demand(second)
            else:
                fold.give(second)
                if kind == _SILENT_KIND:
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
            self._journal.update([_ENTRY.pack(VERSION, _SNAPSHOT_KIND, 0) + self._fold.dump()])
            self._entries = 0
