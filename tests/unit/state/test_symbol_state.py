from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from state.features import FEATURE_NAMES, FEATURES, MARKET_COUNT, NO_MARKET, OWN_COUNT, OWN_FEATURES, complete
from state.window import SPANS_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.symbol_state import SymbolState

MONDAY, TUESDAY, SUNDAY_AFTER = date(2024, 7, 1), date(2024, 7, 2), date(2024, 7, 7)
NAMES = [feature.name for feature in OWN_FEATURES]
MIDNIGHT_AFTER_OPEN_MS = 13 * 3_600_000


class Symbol:
    """A symbol whose trades are numbered as they come."""

    def __init__(self, state: SymbolState, start: int) -> None:
        self.state = state
        self.start = start
        self.count = 0

    def trade(self, seconds: float, price: float, volume: int = 10, key: int | None = None) -> dict[str, float]:
        packed = self.state.apply(self.start + round(seconds * 1000), price, volume, key, 0, self.count)
        self.count += 1
        return dict(zip(NAMES, np.frombuffer(packed, np.float32).tolist(), strict=True))


@pytest.fixture
def symbol(new_state: Callable[[], SymbolState], opening: Callable[[date], int]) -> Symbol:
    return Symbol(new_state(), opening(TUESDAY))


def test_the_schema_names_every_column_once_and_gives_its_unit() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURES) == OWN_COUNT + MARKET_COUNT
    assert {feature.unit for feature in FEATURES} <= {"ratio", "log", "s", "share", "index", "sign", "steps"}
    assert all(feature.meaning for feature in FEATURES)


def test_a_symbols_first_trade_knows_itself_and_nothing_before(symbol: Symbol) -> None:
    features = symbol.trade(90, 500.0, 20)
    unknown = {name for name, value in features.items() if math.isnan(value)}
    assert unknown == {
        "past_burst_return", "burst_gap", "move_1", "move_2", "move_3", "move_4", "since_change", "since_up",
        "since_down", "up_level", "down_level", "ema_12_distance", "rsi_14", "macd", "macd_signal", "macd_histogram",
        "volatility_20", "carried_volatility", "volume_z_20", "day_return", "band_position",
        *(f"return_{count}_trades" for count in (3, 5, 10, 20, 60)), *(f"return_{span}s" for span in SPANS_S),
    }  # fmt: skip
    twenty, two = math.log(20), math.log(2)
    known = {
        "log_turnover": math.log(10_000), "minute_of_session": 1.5, "tick_size": 0.1 / 500, "trade_rush": 1.0,
        "volume_rush": 1.0, "position_20": 0.5, "position_60": 0.5, "position_300s": 0.5,
        **dict.fromkeys(
            ("log_volume", "burst_log_volume", "sweep_log_volume", "run_log_volume", "volume_60s", "volume_300s",
             "volume_today"), twenty
        ),
        **dict.fromkeys(
            ("burst_trades", "run_trades", "trades_10s", "trades_60s", "trades_300s", "trades_today"), two
        ),
    }  # fmt: skip
    expected = {name: known.get(name, 0.0) for name in NAMES if name not in unknown}
    assert {name: features[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("name", "trades"), [("carried_volatility", 2), ("volatility_20", 3), ("volume_z_20", 6)])
def test_a_feature_that_needs_trades_is_known_with_exactly_so_many(symbol: Symbol, name: str, trades: int) -> None:
    values = [symbol.trade(number, 500.0 + number % 2, 10 + number)[name] for number in range(trades)]
    assert [math.isnan(value) for value in values] == [True] * (trades - 1) + [False]


@pytest.mark.parametrize(("name", "minutes"), [("ema_12_distance", 12), ("rsi_14", 15), ("macd", 34)])
def test_an_indicator_is_known_in_exactly_the_minute_its_definition_needs(
    symbol: Symbol, name: str, minutes: int
) -> None:
    values = [symbol.trade(60 * minute, 500.0 + minute % 3)[name] for minute in range(minutes)]
    assert [math.isnan(value) for value in values] == [True] * (minutes - 1) + [False]


def test_volumes_that_are_all_alike_have_no_z_score(symbol: Symbol) -> None:
    assert all(math.isnan(symbol.trade(number, 500.0, 10)["volume_z_20"]) for number in range(30))


def test_the_volume_of_a_trade_that_arrives_behind_is_held_against_those_before_it(symbol: Symbol) -> None:
    for number in range(30):
        symbol.trade(10 * number, 500.0, 10 + number % 2)
    assert symbol.trade(289, 500.0, 10_000)["volume_z_20"] > 1_000


def test_a_price_off_the_coarse_grid_puts_the_symbol_on_the_fine_one_for_the_session(symbol: Symbol) -> None:
    steps = [symbol.trade(number, price)["tick_size"] * price for number, price in enumerate((10.1, 10.11, 10.2))]
    assert steps == pytest.approx([0.1, 0.01, 0.01])


def test_trades_less_than_a_second_apart_are_one_burst(symbol: Symbol) -> None:
    symbol.trade(0, 500.0, 10)
    symbol.trade(5, 502.0, 20)
    second = symbol.trade(5.999, 503.0, 30)
    assert second["burst_log_volume"] == pytest.approx(math.log(50))
    assert second["burst_return"] == pytest.approx(503 / 500 - 1)
    third = symbol.trade(6.999, 504.0, 40)
    assert third["burst_log_volume"] == pytest.approx(math.log(40))
    assert third["burst_return"] == pytest.approx(504 / 503 - 1)


def test_a_return_is_against_the_last_price_at_or_before_its_span(symbol: Symbol) -> None:
    symbol.trade(0, 500.0)
    symbol.trade(50, 505.0)
    assert math.isnan(symbol.trade(59.999, 510.0)["return_60s"])
    assert symbol.trade(60, 510.0)["return_60s"] == pytest.approx(510 / 500 - 1)
    assert symbol.trade(110, 510.0)["return_60s"] == pytest.approx(510 / 505 - 1)


def test_the_band_position_is_1_at_the_upper_and_minus_1_at_the_lower_band(symbol: Symbol) -> None:
    symbol.state.previous_close = 5_000_000
    assert symbol.trade(0, 550.0)["band_position"] == pytest.approx(1.0)
    assert symbol.trade(1, 450.0)["band_position"] == pytest.approx(-1.0)
    assert symbol.trade(2, 500.0)["day_return"] == 0.0


def test_the_last_price_by_time_becomes_the_previous_close_of_the_next_session(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int]
) -> None:
    state = new_state()
    monday, tuesday = Symbol(state, opening(MONDAY)), Symbol(state, opening(TUESDAY))
    monday.trade(0, 480.0)
    monday.trade(60, 500.0)
    monday.trade(50, 490.0)
    features = tuesday.trade(0, 510.0)
    assert features["day_return"] == pytest.approx(510 / 500 - 1)
    assert (features["trades_today"], features["open_return"]) == (pytest.approx(math.log(2)), 0.0)


def test_the_previous_close_outlives_days_without_a_trade(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int]
) -> None:
    state = new_state()
    Symbol(state, opening(MONDAY)).trade(0, 500.0)
    for day in range(1, 6):
        state.advance(opening(MONDAY) + day * 86_400_000)
    assert Symbol(state, opening(SUNDAY_AFTER)).trade(0, 510.0)["day_return"] == pytest.approx(510 / 500 - 1)


def test_the_session_is_forgotten_when_its_day_has_passed(symbol: Symbol) -> None:
    symbol.trade(0, 500.0, key=7)
    symbol.state.advance(symbol.start + 3_600_000)
    assert symbol.state.next_due == symbol.start + MIDNIGHT_AFTER_OPEN_MS - 1
    assert (symbol.state.trades, symbol.state.seen) == (1, {7})
    symbol.state.advance(symbol.start + MIDNIGHT_AFTER_OPEN_MS - 1)
    assert (symbol.state.trades, symbol.state.seen, symbol.state.window_length) == (0, set(), 0)
    assert symbol.state.previous_close == 5_000_000
    assert symbol.state.next_due is None


def test_the_clock_holds_the_highest_watermark_so_that_a_restart_takes_nothing_back(symbol: Symbol) -> None:
    symbol.trade(0, 500.0)
    for seconds in (70, 40):
        symbol.state.advance(symbol.start + seconds * 1000)
    assert symbol.state.clock == symbol.start + 70_000


def test_a_price_of_the_smallest_unit_is_a_price_like_others(symbol: Symbol) -> None:
    symbol.trade(0, 0.0001)
    assert symbol.trade(1, 0.0002)["last_return"] == pytest.approx(1.0)


def test_rows_come_out_of_a_batch_as_they_were_packed() -> None:
    rows = np.arange(3 * len(FEATURES), dtype=np.float32).reshape(3, -1)
    packed = b"".join(row[:OWN_COUNT].tobytes() + row[OWN_COUNT:].tobytes() for row in rows[:2])
    packed += rows[2, :OWN_COUNT].tobytes() + NO_MARKET
    block = complete(packed, 3)
    np.testing.assert_array_equal(block[:2], rows[:2])
    np.testing.assert_array_equal(block[2, :OWN_COUNT], rows[2, :OWN_COUNT])
    assert np.isnan(block[2, OWN_COUNT:]).all()
    assert block[2, OWN_COUNT:].shape == (MARKET_COUNT,)
