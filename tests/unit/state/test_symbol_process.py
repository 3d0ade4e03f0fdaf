"""What a worker makes of ticks and snapshots when it comes back from a checkpoint."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import pytest
from pyflink.datastream import TimeDomain

from jobs.settings import Settings
from state.market_state import block_length
from state.scoring import Answers
from state.symbol_process import NOWHERE, OUTCOMES, PREDICTIONS, SymbolProcess
from tests.unit.state.conftest import Elements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from state.outcomes import Realised
    from state.requests import Request, Subject
    from state.rules import MarketRules

LAG_S = 3
NOON = 1_719_899_100


class Asked(NamedTuple):
    """A tick that the model is asked about, or whose outcome is told."""

    subject: Subject
    market_time: int | None
    outcome: Realised | None
    conflated: list[tuple[int, int]]


class Model:
    """Stands where the model is asked; gives back what it is asked."""

    def open(self, _runtime_context: Any) -> None:
        """There is nothing to load."""

    def answer(self, asked: list[Request], judged: list[tuple[Request, Realised]]) -> Answers:
        predictions = [_asked(request, None) for request in asked]
        return Answers(predictions, [_asked(request, one) for request, one in judged], None)  # type: ignore[arg-type]


def _asked(request: Request, outcome: Realised | None) -> Asked:
    return Asked(request.subject, request.market_time, outcome, request.conflated or [])


class KeyedList:
    """A ListState that looks at the current key."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name

    def __getattr__(self, method: str) -> Any:
        return getattr(self._engine.lists.setdefault((self._name, self._engine.key), Elements()), method)


class Counter:
    def inc(self) -> None:
        """Nobody looks."""


class Engine:
    """The engine's side of the process function: state that outlives its workers, and no more.

    It stands in for Flink because no order of arrival after a restore can be forced on the real one.
    """

    def __init__(self, rules: MarketRules, *, conflates: bool = False) -> None:
        self._rules = rules
        self._conflates = conflates
        self.key = ""
        self.lists: dict[tuple[str, str], Elements] = {}
        self.snapshots: dict[int, bytes] = {}
        self.timers: set[tuple[str, int]] = set()
        """Those in processing time: symbol and moment."""
        self.event_timers: set[tuple[str, int]] = set()
        self._attempt = -1
        self._watermark = (NOON - 60) * 1000
        self._domain = TimeDomain.PROCESSING_TIME
        self.restart()

    def restart(self) -> None:
        """A new worker takes up the state."""
        self._attempt += 1
        times = Settings().event_time.in_ms()
        # With one, results are kept until the bundle ends.
        self._keyed_state_backend = SimpleNamespace(last_word=None) if self._conflates else None
        model: Any = Model()
        self._process = SymbolProcess(
            self._rules, times, "nepse-ticks", LAG_S, 2_000, "v1", model, conflates=self._conflates
        )
        self._process.open(self)  # type: ignore[arg-type]

    def tick(self, symbol: str, second: int, offset: int) -> list[Asked]:
        self.key = symbol
        tick = {"symbol": symbol, "price": 500.0, "volume": 10, "timestamp": second * 1000, "trade_id": f"{offset}"}
        raw = orjson.dumps(tick).decode()
        self._timestamp = second * 1000
        return asked(self._process.process_element((raw, len(raw), 0, offset), self))

    def snapshot(self, second: int) -> list[Asked]:
        block = np.zeros(block_length(16), np.float32).tobytes()
        return asked(self._process.process_broadcast_element((second, block, "v1", None), self))

    def end_bundle(self) -> list[Asked]:
        return asked(self._keyed_state_backend.last_word())  # type: ignore[union-attr, misc]

    def pass_minute(self, symbol: str, watermark: int = (NOON + 200) * 1000) -> list[Asked]:
        """Event time passes the outcomes of all ticks so far."""
        self.key, self._watermark = symbol, watermark
        self._domain = TimeDomain.EVENT_TIME
        outputs = self._process.on_timer(self._watermark, self)
        self._domain = TimeDomain.PROCESSING_TIME
        return asked(outputs)

    def wake_up(self, symbol: str) -> list[Asked]:
        """What the market sends each symbol after a restore."""
        self.key = symbol
        return asked(self._process.process_element((None, None, NOWHERE, 0), self))

    def wake(self, symbol: str) -> list[Asked]:
        """The timer in processing time that a symbol with waiting ticks has set."""
        return self.fire(symbol, int(time.time() * 1000) + 60_000)

    def fire(self, symbol: str, timestamp: int) -> list[Asked]:
        """A timer in processing time."""
        self.key = symbol
        return asked(self._process.on_timer(timestamp, self))

    # What the function asks of the engine.
    def get_list_state(self, descriptor: Any) -> KeyedList:
        return KeyedList(self, descriptor.name)

    def get_attempt_number(self) -> int:
        return self._attempt

    def get_metrics_group(self) -> Engine:
        return self

    def counter(self, _name: str) -> Counter:
        return Counter()

    def get_current_key(self) -> str:
        return self.key

    def timestamp(self) -> int:
        return self._timestamp

    def timer_service(self) -> Engine:
        return self

    def current_watermark(self) -> int:
        return self._watermark

    def register_event_time_timer(self, timestamp: int) -> None:
        self.event_timers.add((self.key, timestamp))

    def register_processing_time_timer(self, timestamp: int) -> None:
        self.timers.add((self.key, timestamp))

    def lose_timers(self) -> None:
        """As a checkpoint does with those of the bundle before it."""
        self.timers.clear()
        self.event_timers.clear()

    def time_domain(self) -> TimeDomain:
        return self._domain

    def get_broadcast_state(self, _descriptor: Any) -> Engine:
        return self

    def items(self) -> Iterable[tuple[int, bytes]]:
        return self.snapshots.items()

    def put(self, key: int, value: bytes) -> None:
        self.snapshots[key] = value

    def remove(self, key: int) -> None:
        del self.snapshots[key]


def asked(outputs: list[Any] | None) -> list[Asked]:
    """The ticks that are told of: predictions, then outcomes."""
    return [one for kind, told in outputs or [] if kind in (PREDICTIONS, OUTCOMES) for one in told]


@pytest.fixture
def engine(rules: MarketRules) -> Engine:
    return Engine(rules)


def test_a_tick_asks_when_its_snapshot_is_there_or_comes(engine: Engine) -> None:
    engine.snapshot(NOON - LAG_S)
    assert [one.market_time for one in engine.tick("NABIL", NOON, 0)] == [(NOON - LAG_S) * 1000]
    assert engine.tick("NABIL", NOON + 1, 1) == []
    assert [one.subject.offset for one in engine.snapshot(NOON - LAG_S + 1)] == [1]


def test_a_tick_that_waited_over_a_restart_asks_although_its_snapshot_came_before_its_symbol_was_looked_at(
    engine: Engine,
) -> None:
    engine.snapshot(NOON - LAG_S - 1)
    assert engine.tick("NABIL", NOON, 0) == []
    engine.restart()
    assert engine.snapshot(NOON - LAG_S) == []
    found = engine.wake("NABIL")
    assert [(one.subject.offset, one.market_time) for one in found] == [(0, (NOON - LAG_S) * 1000)]
    assert engine.wake("NABIL") == []


def test_a_tick_that_waited_over_two_restarts_asks_although_its_snapshot_came_between_them(engine: Engine) -> None:
    engine.snapshot(NOON - LAG_S - 1)
    assert engine.tick("NABIL", NOON, 0) == []
    engine.restart()
    assert engine.snapshot(NOON - LAG_S) == []
    engine.restart()
    found = engine.wake("NABIL")
    assert [(one.subject.offset, one.market_time) for one in found] == [(0, (NOON - LAG_S) * 1000)]
    engine.restart()
    assert engine.wake("NABIL") == []


@pytest.mark.parametrize("looked_at", ["before the restart", "after the restart"])
def test_a_tick_that_had_its_snapshot_between_two_restarts_does_not_ask_again(engine: Engine, looked_at: str) -> None:
    engine.snapshot(NOON - LAG_S - 1)
    engine.tick("NABIL", NOON, 0)
    if looked_at == "after the restart":
        engine.restart()
        assert engine.wake("NABIL") == []
    assert [one.subject.offset for one in engine.snapshot(NOON - LAG_S)] == [0]
    for second in range(1, 4):
        engine.restart()
        engine.snapshot(NOON - LAG_S + second)
    assert engine.wake("NABIL") == []


def test_a_restart_before_any_snapshot_came_leaves_a_tick_waiting(engine: Engine) -> None:
    engine.snapshot(NOON - LAG_S - 1)
    engine.tick("NABIL", NOON, 0)
    engine.restart()
    assert engine.wake("NABIL") == []
    engine.restart()
    assert engine.snapshot(NOON - LAG_S) == []
    engine.restart()
    assert [one.subject.offset for one in engine.wake("NABIL")] == [0]


def test_a_tick_that_has_asked_does_not_ask_again_after_a_restart(engine: Engine) -> None:
    engine.snapshot(NOON - LAG_S)
    assert len(engine.tick("NABIL", NOON, 0)) == 1
    engine.restart()
    engine.snapshot(NOON - LAG_S + 1)
    assert engine.wake("NABIL") == []
    assert [one.subject.offset for one in engine.tick("NABIL", NOON + 1, 1)] == [1]


def test_a_symbol_whose_timers_a_checkpoint_lacks_sets_them_anew_when_the_market_wakes_it(engine: Engine) -> None:
    engine.snapshot(NOON - LAG_S)
    engine.tick("NABIL", NOON, 0)
    due = engine.event_timers.copy()
    engine.lose_timers()
    engine.restart()
    assert engine.wake_up("NABIL") == []
    assert engine.event_timers == due
    assert len(engine.timers) == 1
    engine.lose_timers()
    assert engine.wake_up("NABIL") == []
    assert not engine.event_timers, "it is awake: the engine has its timers"


def test_a_wake_up_of_a_symbol_that_waits_for_nothing_sets_no_timer(engine: Engine) -> None:
    assert engine.wake_up("NABIL") == []
    assert not engine.event_timers
    assert not engine.timers


def test_a_timer_from_before_a_restart_does_not_start_a_second_row_of_timers(engine: Engine) -> None:
    engine.snapshot(NOON - LAG_S)
    engine.tick("NABIL", NOON, 0)
    ((_, before),) = engine.timers
    engine.restart()
    engine.lose_timers()
    engine.wake_up("NABIL")
    assert len(engine.timers) == 1
    engine.fire("NABIL", before - 1)
    assert len(engine.timers) == 1


@pytest.fixture
def conflating(rules: MarketRules) -> Engine:
    engine = Engine(rules, conflates=True)
    engine.snapshot(NOON - LAG_S)
    return engine


def offsets(found: list[Asked]) -> list[int]:
    return sorted(one.subject.offset for one in found)


def overload(engine: Engine) -> list[int]:
    """A bundle as large as that of a job that is behind: its ticks of NABIL have these offsets."""
    for offset in range(300):
        assert engine.tick("NABIL" if offset % 3 else f"S{offset}", NOON, offset) == []
    return [offset for offset in range(300) if offset % 3]


def test_under_overload_each_symbols_newest_tick_is_asked_for_and_names_those_it_stands_for(conflating: Engine) -> None:
    of_symbol = overload(conflating)
    found = conflating.end_bundle()
    newest = next(one for one in found if one.subject.offset == of_symbol[-1])
    skipped = [offset for _, offset in newest.conflated]
    assert sorted(skipped + offsets(found)) == list(range(300))
    assert set(skipped) < set(of_symbol)
    assert len(skipped) > 50
    assert conflating.end_bundle() == []


def test_a_skipped_tick_has_no_outcome_though_the_worker_was_restarted_in_between(conflating: Engine) -> None:
    overload(conflating)
    told = [one.subject.offset for one in conflating.end_bundle() if one.subject.symbol == "NABIL"]
    conflating.restart()
    assert conflating.pass_minute("NABIL") == []
    judged = conflating.end_bundle()
    assert offsets(judged) == sorted(told)
    assert all(one.outcome is not None for one in judged)


def test_a_skipped_tick_stays_in_its_symbols_memory(conflating: Engine, rules: MarketRules) -> None:
    keeping = Engine(rules)
    keeping.snapshot(NOON - LAG_S)
    for offset in range(300):
        keeping.tick("NABIL" if offset % 3 else f"S{offset}", NOON, offset)
    overload(conflating)
    conflating.end_bundle()
    (one,), (other,) = keeping.tick("NABIL", NOON, 300), asked_alone(conflating, 300)
    assert one.subject.sequence == other.subject.sequence == 201


def asked_alone(engine: Engine, offset: int) -> list[Asked]:
    engine.tick("NABIL", NOON, offset)
    return engine.end_bundle()


def test_a_job_that_keeps_up_skips_nothing(conflating: Engine) -> None:
    for bundle in range(20):
        for offset in range(30):
            conflating.tick("NABIL", NOON, bundle * 30 + offset)
        assert len(conflating.end_bundle()) == 30


def test_a_straggler_does_not_stand_for_a_newer_tick(conflating: Engine) -> None:
    newest = overload(conflating)[-1]
    conflating.tick("NABIL", NOON - 5, 300)
    assert {newest, 300} <= set(offsets(conflating.end_bundle()))


def test_a_leap_of_event_time_is_settled_a_bundle_at_a_time_and_every_outcome_is_told_once(
    conflating: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.symbol_process._SETTLED", 20)
    conflating.snapshot(NOON + 30)
    for offset in range(100):
        conflating.tick("NABIL" if offset % 2 else "HDL", NOON + offset // 4, offset)
        conflating.end_bundle()
    told: list[int] = []
    conflating.pass_minute("NABIL")
    conflating.pass_minute("HDL")
    bundles = 0
    while found := conflating.end_bundle():
        assert len(found) <= 24, "those of one moment are told together"
        told += offsets(found)
        bundles += 1
        for symbol in ("NABIL", "HDL"):
            moment = min((when for key, when in conflating.timers if key == symbol), default=0)
            conflating.timers.discard((symbol, moment))
            conflating.fire(symbol, int(time.time() * 1000) + 60_000)
    assert sorted(told) == list(range(100))
    assert bundles >= 5


def test_ticks_that_come_again_when_outcomes_fall_due_are_told_of_in_the_next_bundle(
    conflating: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.symbol_process._SETTLED", 20)
    conflating.snapshot(NOON + 200)
    for offset in range(100):
        conflating.tick("NABIL", NOON + offset // 4, offset)
    conflating.end_bundle()
    conflating.end_bundle()
    conflating.pass_minute("NABIL", (NOON + 150) * 1000)
    conflating.tick("NABIL", NOON + 151, 100)
    found = conflating.end_bundle()
    assert [one.subject.offset for one in found if one.outcome is None] == [100]
    assert len(found) < 30, "the other outcomes come later"


def test_at_the_end_of_all_input_everything_is_settled_at_once(
    conflating: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.symbol_process._SETTLED", 20)
    for offset in range(100):
        conflating.tick("NABIL", NOON, offset)
        conflating.end_bundle()
    conflating.pass_minute("NABIL", 2**63 - 1)
    assert len(conflating.end_bundle()) == 100
