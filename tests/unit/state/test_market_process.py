"""What the market's process function tells the symbols when it comes back from a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pyflink.datastream import TimeDomain

from state.market_process import NOBODY, WAKE_UPS, MarketProcess
from tests.unit.state.conftest import Elements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from state.rules import MarketRules

NOON = 1_719_899_100


class Clock:
    """The machine's, which only the test moves."""

    now = float(NOON)

    @classmethod
    def time(cls) -> float:
        return cls.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("state.market_process.time", Clock)


class Models:
    """Nobody commands them."""

    versions = ("v1",)

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None:
        assert data == b""


class Engine:
    """The engine's side of the process function: state that outlives its workers, and timers.

    It stands in for Flink because the real one cannot be made to lose a timer at will.
    """

    def __init__(self, rules: MarketRules) -> None:
        self._rules = rules
        self.journal = Elements()
        self.timers: set[int] = set()
        self._domain = TimeDomain.EVENT_TIME
        self.restart()

    def restart(self) -> None:
        """A new worker takes up the state."""
        self._process = MarketProcess(self._rules, 0, Models())  # type: ignore[arg-type]
        self._process.open(self)  # type: ignore[arg-type]

    def second(self, second: int, *symbols: str) -> list[str]:
        """A finished second in which some symbols traded; the symbols that are woken."""
        text = ";".join(f"{symbol}:500.0:5000.0:1:2024070201000001" for symbol in symbols)
        return woken(self._process.process_element((second, text), self))

    def beat(self) -> list[str]:
        """The next timer by the machine's clock; the symbols that are woken."""
        self._domain = TimeDomain.PROCESSING_TIME
        beat = min(self.timers)
        self.timers.remove(beat)
        Clock.now = beat / 1000
        return woken(self._process.on_timer(beat, self))

    # What the function asks of the engine.
    def get_list_state(self, _descriptor: Any) -> Elements:
        return self.journal

    def timer_service(self) -> Engine:
        return self

    def time_domain(self) -> TimeDomain:
        return self._domain

    def current_watermark(self) -> int:
        return 0

    def register_event_time_timer(self, timestamp: int) -> None:
        """Event time stands still."""

    def register_processing_time_timer(self, timestamp: int) -> None:
        self.timers.add(timestamp)


def woken(outputs: Iterable[Any]) -> list[str]:
    return sorted(one[1][0] for one in outputs if one[0] is WAKE_UPS and one[1][0] != NOBODY)


@pytest.fixture
def engine(rules: MarketRules) -> Engine:
    return Engine(rules)


def test_nobody_is_woken_but_after_a_restore(engine: Engine) -> None:
    assert engine.second(NOON, "NABIL", "HDL") == []
    assert engine.second(NOON + 1, "NTC") == []


def test_the_first_second_after_a_restore_wakes_every_symbol_of_the_day_once(engine: Engine) -> None:
    engine.second(NOON, "NABIL", "HDL")
    engine.second(NOON + 1, "NTC")
    engine.restart()
    assert engine.second(NOON + 2, "CHCL") == ["HDL", "NABIL", "NTC"]
    assert engine.second(NOON + 3, "CHCL") == []


def test_the_symbols_of_a_silent_market_are_woken_by_a_timer_that_the_checkpoint_had(engine: Engine) -> None:
    engine.second(NOON, "NABIL")
    in_checkpoint = engine.timers.copy()
    engine.beat()
    assert engine.timers - in_checkpoint, "set in the bundle before the barrier: lost"
    engine.timers &= in_checkpoint
    engine.restart()
    assert engine.beat() == ["NABIL"]
