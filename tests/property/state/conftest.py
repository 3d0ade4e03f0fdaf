from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from jobs.settings import PROJECT_ROOT
from state.rules import MarketRules, TradingCalendar, load_rules
from state.symbol_state import SymbolState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

# How long an example takes is no property of the state on a machine that others use, too.
settings.register_profile("state", deadline=None)
settings.load_profile("state")


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
