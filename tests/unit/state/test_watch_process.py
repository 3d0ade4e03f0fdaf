"""What the process function of the live scores keeps in Flink's state, and what it makes of it in a new worker."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from pyflink.datastream import TimeDomain

from jobs.settings import Settings
from state.codec import StateVersionError
from state.drift import DriftBaseline
from state.quality_watch import MINUTE_MS, SETTLED_MS, Part, pack_parts
from state.rules import DriftRule, load_rules
from state.sparse import Sparse
from state.stillness import LOOK_EVERY_MS
from state.tally import tally_rows
from state.watch_process import DRIFT_ALERTS, WatchProcess
from tests.unit.state.conftest import Elements

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

ROW = {"edges": [0.5], "shares": [0.5, 0.5], "missing": 0.0, "ordinary_psi": 0.0}
BASELINE = DriftBaseline({"features": {"x": ROW}, "probabilities": {"up": ROW}}, ("x",))


SHIPPED = load_rules(Settings().market.rules_file)
DRIFT = DriftRule(window_minutes=10, hold_minutes=5)
RULES = SHIPPED.model_copy(update={"alerts": SHIPPED.alerts.model_copy(update={"drift": DRIFT})})
TIMES = Settings().event_time.in_ms()
PATIENCE_MS = TIMES.close_after + 2 * LOOK_EVERY_MS


class Clock:
    """The machine's, which only the test moves."""

    now = 1_719_900_000_000


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("state.watch_process._now", lambda: Clock.now)


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def inc(self, amount: int) -> None:
        self.count += amount


class Engine:
    """The engine's side of the process function: state that outlives its workers, timers, metrics."""

    def __init__(self) -> None:
        self.journal = Elements()
        self.timers: set[int] = set()
        self.looks: set[int] = set()
        self.watermark = 0
        self.alerts: list[Json] = []
        self.scores: list[Json] = []
        self.restart()

    def restart(self) -> None:
        """A new worker takes up the state."""
        self.left_out = Counter()
        self.gauges: dict[str, Callable[[], int]] = {}
        self._process = WatchProcess(lambda _: BASELINE, 5, RULES, TIMES)
        self._process.open(self)  # type: ignore[arg-type]

    def outcomes(self, minute: int, trades: int = 10, x: float = 0.4) -> None:
        said = np.tile(np.array([0.6, 0.1, 0.3], np.float32), (trades, 1))
        counts = BASELINE.counts(np.full((trades, 1), x, np.float32), said[:, 0])
        tally = Sparse.of(tally_rows(said, np.zeros(trades, np.int8)))
        part = Part("v1", "active", minute, trades, tally, Sparse.of(counts.reshape(-1)))
        self._process.process_element(pack_parts([part]), self)

    def pass_minute(self, minute: int) -> None:
        """Event time goes on until a minute can be judged, and nothing is held any more."""
        self.reach((minute + 1) * MINUTE_MS + SETTLED_MS)
        self.wait(1_500)

    def reach(self, watermark: int) -> None:
        """Event time goes on."""
        self.watermark = watermark
        self._domain = TimeDomain.EVENT_TIME
        while due := sorted(timer for timer in self.timers if timer <= self.watermark):
            self.timers.remove(due[0])
            self._fire(due[0])

    def wait(self, milliseconds: int) -> None:
        """Time goes by on the machine's clock."""
        until = Clock.now + milliseconds
        while self.looks and min(self.looks) <= until:
            self._domain = TimeDomain.PROCESSING_TIME
            Clock.now = min(self.looks)
            self.looks.remove(Clock.now)
            self._fire(Clock.now)
        Clock.now = until

    def _fire(self, moment: int) -> None:
        for one in self._process.on_timer(moment, self):
            if one[0] is DRIFT_ALERTS:
                self.alerts.append(orjson.loads(one[1][1]))
            else:
                self.scores.append(orjson.loads(one[1]))
                assert self.scores[-1].pop("produced_at") == Clock.now

    # What the function asks of the engine.
    def get_list_state(self, _descriptor: Any) -> Elements:
        return self.journal

    def get_metrics_group(self) -> Engine:
        return self

    def counter(self, _name: str) -> Counter:
        return self.left_out

    def gauge(self, name: str, value: Callable[[], int]) -> None:
        self.gauges[name] = value

    def timer_service(self) -> Engine:
        return self

    def current_watermark(self) -> int:
        return self.watermark

    def register_event_time_timer(self, timestamp: int) -> None:
        self.timers.add(timestamp)

    def register_processing_time_timer(self, timestamp: int) -> None:
        assert timestamp > Clock.now
        self.looks.add(timestamp)

    def time_domain(self) -> TimeDomain:
        return self._domain


def test_a_minute_is_told_when_its_timer_comes() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.outcomes(3, trades=5)
    assert len(engine.timers) == 1
    engine.pass_minute(2)
    assert engine.scores == []
    engine.pass_minute(3)
    [score] = engine.scores
    assert (score["model_version"], score["role"], score["trades"]) == ("v1", "active", 15)
    assert (score["window_start"], score["window_end"]) == (-1 * MINUTE_MS, 4 * MINUTE_MS)
    assert score["non_flat"]["accuracy"] == 1.0
    assert score["non_flat"]["auc"] is None, "nothing fell"


def test_what_comes_right_after_event_time_has_passed_its_minute_still_counts() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.reach(4 * MINUTE_MS + SETTLED_MS)
    assert engine.scores == []
    engine.outcomes(3, trades=5)
    engine.reach(5 * MINUTE_MS + SETTLED_MS)
    engine.wait(1_500)
    assert [score["trades"] for score in engine.scores] == [15]
    assert engine.left_out.count == 0


def test_what_event_time_passes_while_a_minute_is_held_is_held_after_it() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.outcomes(6)
    engine.reach(4 * MINUTE_MS + SETTLED_MS)
    engine.reach(7 * MINUTE_MS + SETTLED_MS)
    engine.wait(1_500)
    assert [score["window_end"] // MINUTE_MS for score in engine.scores] == [4]
    engine.wait(1_500)
    assert [score["window_end"] // MINUTE_MS for score in engine.scores] == [4, 7]


def test_at_the_end_of_all_input_nothing_is_held() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.outcomes(9)
    engine.reach(4 * MINUTE_MS + SETTLED_MS)
    engine.reach(2**63 - 1)
    assert [score["window_end"] // MINUTE_MS for score in engine.scores] == [4, 10]


def test_a_minute_that_was_held_over_a_restart_is_judged_when_event_time_is_there_again() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.reach(4 * MINUTE_MS + SETTLED_MS)
    engine.restart()
    engine.reach(0)
    engine.wait(1_500)
    assert engine.scores == []
    engine.pass_minute(3)
    assert [score["trades"] for score in engine.scores] == [10]


def test_a_stream_that_has_stopped_is_told_as_it_is_and_not_before() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.outcomes(6)
    engine.reach(4 * MINUTE_MS)
    engine.wait(PATIENCE_MS - 1)
    assert engine.scores == []
    engine.outcomes(6, trades=2)
    engine.wait(PATIENCE_MS - 1)
    assert engine.scores == []
    engine.wait(PATIENCE_MS)
    assert [(score["window_end"] // MINUTE_MS, score["trades"]) for score in engine.scores] == [(4, 10), (7, 22)]
    assert len(engine.looks) == 2, "nothing waits any more; these are the pulse"


def test_a_checkpoint_that_lacks_the_last_timers_loses_no_score_of_a_stream_that_has_stopped() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.wait(LOOK_EVERY_MS)
    timers, looks = engine.timers.copy(), engine.looks.copy()
    engine.outcomes(6)
    engine.timers, engine.looks = timers, looks
    engine.restart()
    engine.wait(2 * PATIENCE_MS)
    assert [(score["window_end"] // MINUTE_MS, score["trades"]) for score in engine.scores] == [(4, 10), (7, 20)]


def test_after_the_close_a_stream_has_stopped_soon() -> None:
    engine = Engine()
    engine.outcomes(SHIPPED.on(date(2024, 7, 1)).close // MINUTE_MS - 1)
    engine.wait(3 * LOOK_EVERY_MS - 1)
    assert engine.scores == []
    engine.wait(1)
    assert len(engine.scores) == 1


def test_the_close_shortens_a_wait_that_was_begun_in_mid_session() -> None:
    engine = Engine()
    last = SHIPPED.on(date(2024, 7, 1)).close // MINUTE_MS - 1
    engine.outcomes(last - 30)
    engine.pass_minute(last - 30)
    engine.outcomes(last - 20)
    engine.wait(1_000)
    engine.outcomes(last)
    engine.wait(PATIENCE_MS // 2)
    assert [score["window_end"] for score in engine.scores][-1] == (last + 1) * MINUTE_MS


def test_a_live_streams_minute_is_not_told_while_its_outcomes_may_still_come_in_time() -> None:
    engine = Engine()
    minute = Clock.now // MINUTE_MS + 5  # a clock that is behind
    engine.outcomes(minute)
    engine.wait(2 * PATIENCE_MS)
    assert engine.scores == []
    engine.wait(5 * MINUTE_MS + PATIENCE_MS)
    assert len(engine.scores) == 1


def test_drift_is_told_beside_the_scores() -> None:
    engine = Engine()
    for minute in range(10):
        engine.outcomes(minute, x=0.9)
    engine.pass_minute(9)
    raised = {alert["detail"]["feature"]: alert for alert in engine.alerts}
    assert set(raised) == {"x", "p_up"}
    alert = raised["x"]
    assert (alert["rule"], alert["symbol"], alert["event_time"]) == ("drift", "*MARKET*", 10 * MINUTE_MS)
    assert alert["value"] > alert["threshold"] == 0.25
    assert alert["detail"]["model_version"] == "v1"
    assert len({alert["source"]["offset"] for alert in engine.alerts}) == 2


def test_the_gauges_show_the_active_versions_newest_measures() -> None:
    engine = Engine()
    assert set(engine.gauges) == {
        "active_auc_millionths", "active_log_loss_millionths", "active_ece_millionths", "active_worst_drift_millionths",
    }  # fmt: skip
    for minute in range(10):
        engine.outcomes(minute, x=0.9)
    engine.pass_minute(9)
    assert engine.gauges["active_auc_millionths"]() == 0, "not known"
    assert engine.gauges["active_log_loss_millionths"]() == pytest.approx(-np.log(0.6) * 1e6, abs=1)
    assert engine.gauges["active_worst_drift_millionths"]() > 1_000_000


@pytest.mark.parametrize("restarts", [(), (5,), (0, 7, 12, 19)])
def test_a_new_worker_goes_on_where_the_old_one_was(restarts: tuple[int, ...]) -> None:
    engine, steady = Engine(), Engine()
    for each in (engine, steady):
        for minute in range(20):
            each.outcomes(minute, trades=3 + minute % 4, x=0.9 if minute > 8 else 0.4)
            if each is engine and minute in restarts:
                each.restart()
            each.pass_minute(minute - 1)
    assert (engine.scores, engine.alerts) == (steady.scores, steady.alerts)
    assert engine.alerts
    assert len(engine.scores) == 19


def test_outcomes_that_come_too_late_are_left_out_and_counted() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.pass_minute(3)
    engine.outcomes(2, trades=4)
    engine.outcomes(3, trades=2)
    assert engine.left_out.count == 6
    engine.restart()
    engine.outcomes(3, trades=1)
    assert engine.left_out.count == 1


def test_the_journal_is_folded_before_it_outgrows_what_it_describes() -> None:
    engine = Engine()
    written = 0
    for minute in range(2000):
        engine.outcomes(minute)
        engine.pass_minute(minute)
        written = max(written, sum(map(len, engine.journal.get())))
    assert written < 3 * 65_536
    scores = len(engine.scores)
    engine.restart()
    engine.outcomes(2000)
    engine.pass_minute(2000)
    assert len(engine.scores) == scores + 1
    assert engine.scores[-1]["trades"] == 50


def test_state_of_another_form_is_refused_in_a_sentence() -> None:
    engine = Engine()
    engine.outcomes(3)
    engine.journal.values[0] = b"\x09" + engine.journal.values[0][1:]
    engine.restart()
    with pytest.raises(StateVersionError, match="form 9, this tickcast reads form 1"):
        engine.outcomes(4)
