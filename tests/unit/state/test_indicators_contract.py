"""What holds for every indicator alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from state.indicators import Ema, Indicator, Macd, Rsi

if TYPE_CHECKING:
    from collections.abc import Callable

MAKERS: dict[str, Callable[[], Indicator]] = {
    "ema": lambda: Ema(20),
    "rsi": Rsi,
    "macd": Macd,
}
WARM_UP = {"ema": 20, "rsi": 15, "macd": 34}
PRICES = 500.0 + np.random.default_rng(7).normal(0.0, 2.0, 120).cumsum()

every_indicator = pytest.mark.parametrize("name", MAKERS)


def fed(name: str, count: int) -> Indicator:
    indicator = MAKERS[name]()
    for price in PRICES[:count]:
        indicator.update(float(price))
    return indicator


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


@every_indicator
def test_without_input_there_is_no_value(name: str) -> None:
    indicator = MAKERS[name]()
    assert math.isnan(indicator.value)
    assert not indicator.initialized


@every_indicator
def test_it_is_initialized_with_exactly_the_values_its_definition_needs(name: str) -> None:
    assert not fed(name, WARM_UP[name] - 1).initialized
    assert fed(name, WARM_UP[name]).initialized


@every_indicator
def test_a_peek_is_what_the_update_then_gives_and_changes_nothing(name: str) -> None:
    indicator = MAKERS[name]()
    for price in PRICES:
        before = indicator.state()
        indicator.peek(float(price) * 3.0)
        peeked = indicator.peek(float(price))
        assert all(map(same, indicator.state(), before))
        indicator.update(float(price))
        assert same(peeked, indicator.value) or peeked == pytest.approx(indicator.value, rel=1e-12)


@every_indicator
def test_after_a_reset_it_gives_what_a_new_one_gives(name: str) -> None:
    used = fed(name, 77)
    used.reset()
    assert not used.initialized
    new = MAKERS[name]()
    for price in PRICES:
        used.update(float(price))
        new.update(float(price))
        assert same(used.value, new.value)


@every_indicator
@pytest.mark.parametrize("moment", [0, 1, 13, 14, 15, 25, 26, 33, 34, 60])
def test_a_restored_one_goes_on_bit_for_bit(name: str, moment: int) -> None:
    original = fed(name, moment)
    state = original.state()
    assert all(type(number) is float for number in state)
    restored = MAKERS[name]()
    restored.restore(state)
    for price in PRICES[moment:]:
        assert same(restored.value, original.value)
        restored.update(float(price))
        original.update(float(price))
    assert all(map(same, restored.state(), original.state()))


@every_indicator
def test_the_state_has_the_same_length_at_every_moment(name: str) -> None:
    assert len({len(fed(name, count).state()) for count in (0, 1, 14, 30, 100)}) == 1
