"""The process function that keeps the live scores and watches for drift, for the whole market in one place."""

from __future__ import annotations

import math
import struct
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext, TimeDomain
from pyflink.datastream.state import ListStateDescriptor

from state import records
from state.codec import require_form
from state.pulse import Pulse
from state.quality_watch import SETTLED_MS, QualityWatch
from state.rules import TradingCalendar
from state.stillness import END_OF_INPUT, LOOK_EVERY_MS, patience
from state.symbol_process import BYTES, KEYED_JSON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state.intake import TickTimes
    from state.quality_watch import Baselines, Findings
    from state.rules import MarketRules

DRIFT_ALERTS = OutputTag("drift alerts", KEYED_JSON)

VERSION = 1
_ENTRY = struct.Struct("<BB")
_CLOCK = struct.Struct("<q")
_SNAPSHOT_KIND, _PARTS_KIND, _CLOCK_KIND = 1, 2, 3
_FOLD_BYTES = 65_536
"""The journal is folded into a new snapshot when it holds so much, and more than the snapshot before it."""

_HOLD_MS = 1_000
"""So long, by the machine's clock, a minute waits when event time has passed it. That a stream is idle is told past the
bundles of a Python operator that are still under way: where several partitions end at once, event time may be ahead of
their last outcomes for that moment."""

_MILLION = 1_000_000


class _Held(NamedTuple):
    """How far event time has come, and the moment by the machine's clock until which nothing is judged for it."""

    watermark: int
    until: int


class WatchProcess(KeyedProcessFunction):  # type: ignore[misc]
    """Holds the :class:`QualityWatch`; timers say when a minute can be judged.

    Takes what :func:`state.quality_watch.pack_parts` gives. Main output: the scores, as finished messages.

    Args:
        baselines: Gives the drift baseline of a model version; None: its drift is not watched.
        score_minutes: Length of the scores' window.
        rules: The market's rules.
        times: Bounds on a tick's time, and the patience with a silence.
    """

    def __init__(self, baselines: Baselines, score_minutes: int, rules: MarketRules, times: TickTimes) -> None:
        self._baselines = baselines
        self._score_minutes = score_minutes
        self._rules = rules
        self._times = times

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called once, before the first outcome."""
        self._journal = runtime_context.get_list_state(ListStateDescriptor("quality", BYTES))
        self._watch: QualityWatch | None = None
        self._calendar = TradingCalendar(self._rules)
        self._appended = self._snapshot = 0
        self._timer: int | None = None
        self._held: _Held | None = None
        self._look_at: int | None = None
        self._pulse = Pulse(LOOK_EVERY_MS)
        self._moved_at = _now()
        self._watermark = 0
        metrics = runtime_context.get_metrics_group()
        self._left_out = metrics.counter("outcomes_left_out")
        # Python's gauges are whole numbers.
        self._gauges = dict.fromkeys(("auc", "log_loss", "ece", "drift"), 0)
        metrics.gauge("active_auc_millionths", lambda: self._gauges["auc"])
        metrics.gauge("active_log_loss_millionths", lambda: self._gauges["log_loss"])
        metrics.gauge("active_ece_millionths", lambda: self._gauges["ece"])
        metrics.gauge("active_worst_drift_millionths", lambda: self._gauges["drift"])

    def process_element(self, value: bytes, ctx: KeyedProcessFunction.Context) -> None:
        """What a batch of outcomes adds."""
        watch = self._watch or self._recall()
        self._left_out.inc(watch.add(value))
        self._moved_at = _now()
        self._remember(_PARTS_KIND, value)
        self._set_timers(ctx)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """Event time has passed a minute, or it was held for long enough since, or nothing has come for long."""
        watch = self._watch or self._recall()
        watermark = ctx.timer_service().current_watermark()
        if watermark != self._watermark:
            self._watermark, self._moved_at = watermark, _now()
        if ctx.time_domain() == TimeDomain.EVENT_TIME:
            self._timer = None
            if watermark == END_OF_INPUT:
                yield from self._judge(watch, watermark)
        else:  # of one moment there is one timer, whatever it was set for
            if self._held is not None and timestamp >= self._held.until:
                held, self._held = self._held, None
                yield from self._judge(watch, held.watermark)
            if self._look_at is not None and timestamp >= self._look_at:
                self._look_at = None
                yield from self._look(watch)
        self._set_timers(ctx)

    def _look(self, watch: QualityWatch) -> Iterator[Any]:
        """Judges what waits for a stream that stands still, but nothing that a live feed may still deliver in time."""
        now, last_due = _now(), watch.last_due
        if last_due is not None and now - self._moved_at >= self._patience(last_due):
            yield from self._judge(watch, min(last_due, now - self._times.out_of_orderness))

    def _patience(self, last_due: int) -> int:
        """The symbols, which settle what waits for a stream that has stopped, are given the time to do it."""
        return patience(self._times, self._calendar, last_due - SETTLED_MS) + 2 * LOOK_EVERY_MS

    def _judge(self, watch: QualityWatch, watermark: int) -> Iterator[Any]:
        findings = watch.advance(watermark)
        self._remember(_CLOCK_KIND, _CLOCK.pack(watermark))
        self._show(findings)
        now = _now()
        for score in findings.scores:
            yield records.keyed_json(score.version, records.score_record(score, now))
        for drift in findings.drifts:
            yield DRIFT_ALERTS, records.keyed_json(records.MARKET_SYMBOL, records.drift_record(drift))

    def _set_timers(self, ctx: Any) -> None:
        """Keeps a timer in event time for what comes next, by the clock for what it has passed and for silence."""
        assert self._watch is not None  # noqa: S101 - there is one before any timer
        due, service = self._watch.next_due, ctx.timer_service()
        self._pulse.keep(service, _now())
        if due is None:
            return
        watermark = service.current_watermark()
        last_due = self._watch.last_due
        if last_due is not None:
            look_at = max(self._moved_at + self._patience(last_due), _now() + LOOK_EVERY_MS)
            # After the close the patience is shorter than what the timer of mid-session was set for.
            if self._look_at is None or look_at < self._look_at:
                self._look_at = look_at
                service.register_processing_time_timer(look_at)
        if due > watermark and (self._timer is None or due < self._timer):
            self._timer = due
            service.register_event_time_timer(due)
        elif due <= watermark and self._held is None:
            self._held = _Held(watermark, _now() + _HOLD_MS)
            service.register_processing_time_timer(self._held.until)
            service.register_event_time_timer(END_OF_INPUT)  # which does not wait for the clock

    def _show(self, findings: Findings) -> None:
        """Takes the active version's newest measures to the gauges."""
        assert self._watch is not None  # noqa: S101 - it has found them
        for score in findings.scores:
            if score.role == "active":
                measures = score.measures
                self._gauges = {
                    "auc": _millionths(measures["non_flat"]["auc"]),
                    "log_loss": _millionths(measures["three_class"]["log_loss"]),
                    "ece": _millionths(measures["ece_p_up"]),
                    "drift": _millionths(self._watch.worst_drift(score.version)),
                }

    def _recall(self) -> QualityWatch:
        watch = QualityWatch(self._baselines, self._score_minutes, self._rules.alerts.drift)
        for element in self._journal.get() or ():
            version, kind = _ENTRY.unpack_from(element)
            require_form("the scores' state", version, VERSION)
            body = element[_ENTRY.size :]
            self._appended += len(element)
            if kind == _SNAPSHOT_KIND:
                watch.load(body)
                self._appended, self._snapshot = 0, len(element)
            elif kind == _PARTS_KIND:
                watch.add(body)
            else:
                watch.advance(*_CLOCK.unpack(body))
        self._watch = watch
        return watch

    def _remember(self, kind: int, body: bytes) -> None:
        assert self._watch is not None  # noqa: S101 - it is what is remembered
        element = _ENTRY.pack(VERSION, kind) + body
        self._appended += len(element)
        if self._appended < max(_FOLD_BYTES, self._snapshot):
            self._journal.add(element)
            return
        snapshot = _ENTRY.pack(VERSION, _SNAPSHOT_KIND) + self._watch.dump()
        self._journal.update([snapshot])
        self._appended, self._snapshot = 0, len(snapshot)


def _now() -> int:
    return int(time.time() * 1000)


def _millionths(measure: float) -> int:
    """A measure for a gauge; nought where it is not defined."""
    return round(measure * _MILLION) if math.isfinite(measure) else 0
