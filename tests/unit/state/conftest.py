from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs.settings import PROJECT_ROOT
from state.rules import MarketRules, TradingCalendar, load_rules
from state.symbol_state import SymbolState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date


class Elements:
    """A ListState without Flink."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def get(self) -> Iterable[bytes]:
        return list(self.values)

    def add(self, value: bytes) -> None:
        self.values.append(value)

    def update(self, values: list[bytes]) -> None:
        self.values = list(values)

    def clear(self) -> None:
        self.values = []


@pytest.fixture(scope="session")
def rules() -> MarketRules:
    """NEPSE's rules as they are shipped."""
    return load_rules(PROJECT_ROOT / "flink-conf" / "markets" / "nepse.yaml")


@pytest.fixture(scope="session")
def new_state(rules: MarketRules) -> Callable[[], SymbolState]:
    """Makes a symbol that has no past."""
    return lambda: SymbolState("NABIL", rules, TradingCalendar(rules))


@pytest.fixture(scope="session")
def opening(rules: MarketRules) -> Callable[[date], int]:
    """Finds when continuous trading begins on a day, epoch ms."""
    return lambda day: rules.on(day).open
