"""Alerts about the market as a whole: trading halts by silence, index halts by the circuit-breaker table."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from state.rules import BreakerStep, MarketRules, TradingDay

_HALT_TOLERANCE_S = 5
"""A silence this near a breaker's prescribed length is that breaker's halt."""


class MarketAlert(NamedTuple):
    """One alert about the whole market.

    Attributes:
        rule: `trading_halt`, `trading_resumed` or `index_halt`.
        event_time: The moment it speaks of, ms.
        threshold, value: What was passed, and by what (seconds of silence, or the index's move as a ratio).
        message: A sentence for a person.
        start, end: Of the halt, ms; None where there is none (yet).
    """

    rule: str
    event_time: int
    threshold: float
    value: float
    message: str
    start: int | None = None
    end: int | None = None


class MarketAlerts:
    """Watches the seconds in which anything traded, and the index."""

    def __init__(self, rules: MarketRules) -> None:
        self._silence_s = rules.alerts.trading_halt.silence_s
        self._raised: list[MarketAlert] = []
        self.start_day()

    def start_day(self) -> None:
        """Forgets the day."""
        self._last_second = 0
        self._halted_since = 0
        self._steps_passed: list[int] = []

    def traded(self, second: int, day: TradingDay | None) -> None:
        """Takes in a second (epoch s) in which something traded, in order of time."""
        if second <= self._last_second:
            return
        if day is not None and self._last_second:
            self._find_halt(second, day)
            if self._halted_since:
                self._resume(second, day)
        self._last_second = second

    def silent(self, second: int, day: TradingDay | None) -> None:
        """Takes in that nothing has traded before this second, although no trade says so."""
        if day is not None and self._last_second and not self._halted_since:
            self._find_halt(second, day)

    def _find_halt(self, second: int, day: TradingDay) -> None:
        start = self._last_second
        if self._halted_since or not day.in_session(start * 1000) or second - start < self._silence_s:
            return
        if second * 1000 > day.close + 1000:
            return
        self._halted_since = start
        self._raised.append(
            MarketAlert(
                "trading_halt",
                start * 1000,
                self._silence_s,
                self._silence_s,
                f"the market has been silent for more than {self._silence_s:g} s",
                start=start * 1000,
            )
        )

    def _resume(self, second: int, day: TradingDay) -> None:
        start, self._halted_since = self._halted_since, 0
        length = second - start
        self._raised.append(
            MarketAlert(
                "trading_resumed",
                second * 1000,
                self._silence_s,
                float(length),
                f"trading goes on after {length / 60:.1f} minutes",
                start=start * 1000,
                end=second * 1000,
            )
        )
        lasted = (step for step in day.breakers if step.halt_minutes)
        step = next((step for step in lasted if abs(length - step.halt_minutes * 60) <= _HALT_TOLERANCE_S), None)
        if step is not None:
            self._raised.append(
                MarketAlert(
                    "index_halt",
                    start * 1000,
                    step.move,
                    step.move,
                    f"the halt lasted the {step.halt_minutes} minutes of the {step.move:.0%} index breaker",
                    start=start * 1000,
                    end=second * 1000,
                )
            )

    def index(self, second: int, index_return: float, day: TradingDay | None, *, is_proxy: bool) -> None:
        """Takes in the move (a ratio) of the index, or of its proxy, against its reference at the end of a second.

        Of several steps that it passes at once, the strongest one holds.
        """
        if day is None or not day.in_session(second * 1000):
            return
        passed = [
            number
            for number, step in enumerate(day.breakers)
            if number not in self._steps_passed
            and abs(index_return) >= step.move
            and not self._too_late(second, step, day)
        ]
        if not passed:
            return
        self._steps_passed += passed
        step = max((day.breakers[number] for number in passed), key=attrgetter("move"))
        self._raised.append(
            MarketAlert(
                "index_halt",
                second * 1000,
                step.move,
                index_return,
                f"the {'turnover-weighted proxy of the index' if is_proxy else 'index'} has moved "
                f"{index_return:+.2%}: the {step.move:.0%} breaker halts for "
                + (f"{step.halt_minutes} minutes" if step.halt_minutes else "the rest of the day"),
            )
        )

    @staticmethod
    def _too_late(second: int, step: BreakerStep, day: TradingDay) -> bool:
        before = step.before
        return second * 1000 - day.start >= (before.hour * 3600 + before.minute * 60 + before.second) * 1000

    def take(self) -> list[MarketAlert]:
        """The alerts raised since the last call."""
        raised, self._raised = self._raised, []
        return raised

    def dump(self) -> list[Any]:
        """All it remembers, for the state codec."""
        return [self._last_second, self._halted_since, self._steps_passed]

    def load(self, rows: list[Any]) -> None:
        """Takes up the rows of :meth:`dump`."""
        self._last_second, self._halted_since, self._steps_passed = rows
