"""Each of a symbol's own features against NumPy, pandas and TA-Lib on the plain list of its trades."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from state.features import OWN_FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.rules import MarketRules
    from state.symbol_state import SymbolState

NAMES = [feature.name for feature in OWN_FEATURES]
DAY = date(2024, 7, 2)


class Trade(NamedTuple):
    time: int
    price: float
    volume: int


def naive_features(trades: list[Trade], previous_close: float | None, rules: MarketRules) -> dict[str, float]:
    """Features of the last of a session's trades, which are given in order of arrival; prices in rupees."""
    arrived = pd.DataFrame(trades)
    price, volume = arrived.price.iloc[-1], arrived.volume.iloc[-1]
    newest_before = arrived.time.cummax().shift(fill_value=arrived.time.iloc[0])
    followed = arrived[arrived.time >= newest_before]
    in_order = arrived.time.iloc[-1] >= newest_before.iloc[-1]
    ordered = arrived.sort_values("time", kind="stable")
    place = ordered.index.get_loc(arrived.index[-1])
    now = ordered.time.iloc[-1]
    moves = np.sign(ordered.price.diff().fillna(0)).replace(0, np.nan).ffill().fillna(0)
    recent = ordered.price.iloc[-20:].to_numpy()
    day = rules.on(DAY)
    off_grid = ~np.isclose((arrived.price * 10) % 1, [[0.0], [1.0]]).any(axis=0)

    def over(seconds: int) -> pd.Series[bool]:
        return ordered.time > now - seconds * 1000

    def return_over(seconds: int) -> float:
        older = ordered.price[~over(seconds)]
        return price / older.iloc[-1] - 1 if len(older) else np.nan

    def imbalance(seconds: int) -> float:
        shares = ordered.volume[over(seconds)]
        return (shares * moves[over(seconds)]).sum() / shares.sum()

    features = {
        "log_volume": np.log(volume),
        "log_turnover": np.log(price * volume),
        "last_move": moves.iloc[place],
        "flips_20": (np.diff(moves.iloc[-20:]) != 0).sum() / len(recent),
        "sma_5_distance": price / recent[-5:].mean() - 1,
        "sma_20_distance": price / recent.mean() - 1,
        "vwap_distance": price / np.average(arrived.price, weights=arrived.volume) - 1,
        "mean_300s_distance": price / ordered.price[over(300)].mean() - 1,
        "trades_60s": np.log1p(over(60).sum()),
        "trades_300s": np.log1p(over(300).sum()),
        "imbalance_60s": imbalance(60),
        "imbalance_300s": imbalance(300),
        "duration_20": np.log1p((now - ordered.time.iloc[-20:].iloc[0]) / 1000),
        "trades_today": np.log1p(len(arrived)),
        "high_distance": price / arrived.price.max() - 1,
        "low_distance": price / arrived.price.min() - 1,
        "open_return": price / arrived.price.iloc[0] - 1,
        "day_return": price / previous_close - 1 if previous_close else np.nan,
        "band_position": (price / previous_close - 1) / 0.10 if previous_close else np.nan,
        "minute_of_session": (arrived.time.iloc[-1] - day.open) / 60_000,
        "tick_size": (0.01 if off_grid.any() else 0.1) / price,
    }
    features |= {f"return_{seconds}s": return_over(seconds) for seconds in (10, 30, 60, 120, 300)}
    features |= naive_volatility(followed, ordered, recent, place)
    features |= naive_sequence(arrived, followed, in_order=bool(in_order))
    features |= naive_minute_indicators(followed, price)
    return features


def naive_volatility(followed: pd.DataFrame, ordered: pd.DataFrame, recent: np.ndarray, place: int) -> dict[str, float]:
    before = ordered.volume.iloc[max(place - 20, 0) : place].to_numpy()
    spread = before.std() if len(before) >= 5 else 0.0
    sizes = followed.price.pct_change().abs().iloc[1:]
    return {
        "volatility_20": (recent[1:] / recent[:-1] - 1).std() if len(recent) >= 3 else np.nan,
        "carried_volatility": sizes.ewm(halflife=11, adjust=False).mean().iloc[-1] if len(sizes) else np.nan,
        "volume_z_20": (ordered.volume.iloc[place] - before.mean()) / spread if spread else np.nan,
    }


def naive_sequence(arrived: pd.DataFrame, followed: pd.DataFrame, *, in_order: bool) -> dict[str, float]:
    """What is counted from trade to trade: `followed` are those that came in order of time."""
    price = arrived.price.iloc[-1]
    gaps = followed.time.diff().to_numpy()
    starts = np.flatnonzero(~(gaps < 1000))
    start = starts[-1]
    before_burst = followed.price.iloc[max(start - 1, 0)]
    earlier = followed.iloc[:-1] if in_order else followed
    return {
        "burst_log_volume": np.log(followed.volume.iloc[start:].sum()),
        "burst_return": price / before_burst - 1,
        "last_return": price / earlier.price.iloc[-1] - 1 if len(earlier) else 0.0,
        "age": np.log1p(gaps[-1] / 1000) if in_order and len(earlier) else 0.0,
    }


def naive_minute_indicators(followed: pd.DataFrame, price: float) -> dict[str, float]:
    minutes = followed.time // 60_000
    closes = followed.price.groupby(minutes).last().iloc[:-1].to_numpy()
    series = np.append(closes, price)
    ema = talib.EMA(series, 12)[-1] if len(series) >= 12 else np.nan
    rsi = talib.RSI(series, 14)[-1] if len(series) >= 15 else np.nan
    lines = [line[-1] for line in talib.MACD(series, 12, 26, 9)] if len(series) >= 34 else [np.nan] * 3
    return {
        "ema_12_distance": price / ema - 1,
        "rsi_14": rsi,
        "macd": lines[0] / price,
        "macd_signal": lines[1] / price,
        "macd_histogram": lines[2] / price,
    }


def assert_same(features: list[float], reference: dict[str, float]) -> None:
    assert reference.keys() == set(NAMES)
    assert len(features) == len(NAMES)
    for name, value in zip(NAMES, features, strict=True):
        # The volatility subtracts the mean's square: a deviation of nothing comes out as the root of rounding.
        tolerance = 1e-8 if name == "volatility_20" else 1e-10
        assert value == pytest.approx(reference[name], rel=1e-8, abs=tolerance, nan_ok=True), name


def random_session(
    seed: int, opening: int, count: int, *, mean_gap_s: float, disorder: float, fine: bool
) -> list[Trade]:
    """A session of bursts and silences around 500 rupees; a share of the trades arrives up to 14 s behind."""
    random = np.random.default_rng(seed)
    gaps = np.where(
        random.random(count) < 0.4, random.integers(0, 900, count), random.exponential(mean_gap_s * 1000, count)
    )
    newest = opening - 900_000 + gaps.astype(int).cumsum()
    behind = np.where(random.random(count) < disorder, random.integers(1, 14_000, count), 0)
    behind[0] = 0
    steps = random.choice([-2, -1, 0, 0, 1, 2], count).cumsum()
    prices = (50_000 + (1 if fine else 10) * steps) / 100
    volumes = random.choice([10, 10, 10, 50, 100, 5_000], count)
    return [Trade(*row) for row in zip((newest - behind).tolist(), prices.tolist(), volumes.tolist(), strict=True)]


def assert_session_is_right(
    state: SymbolState, trades: list[Trade], previous_close: float | None, rules: MarketRules, every: int = 1
) -> None:
    for i, trade in enumerate(trades):
        features = state.apply(*trade, None, 0, i)
        if i % every == 0 or i < 25:
            assert_same(features, naive_features(trades[: i + 1], previous_close, rules))


@pytest.mark.parametrize("mean_gap_s", [0.3, 20.0, 90.0])
def test_features_of_trades_in_order_are_those_of_numpy_and_talib(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int], rules: MarketRules, mean_gap_s: float
) -> None:
    trades = random_session(1, opening(DAY), 300, mean_gap_s=mean_gap_s, disorder=0.0, fine=False)
    assert_session_is_right(new_state(), trades, None, rules, every=4)


@pytest.mark.parametrize("mean_gap_s", [0.3, 20.0, 90.0])
def test_features_of_disordered_trades_are_those_of_numpy_and_talib(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int], rules: MarketRules, mean_gap_s: float
) -> None:
    trades = random_session(2, opening(DAY), 300, mean_gap_s=mean_gap_s, disorder=0.3, fine=True)
    assert_session_is_right(new_state(), trades, None, rules, every=4)


def test_features_of_a_session_know_the_previous_close_and_nothing_else_of_the_day_before(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int], rules: MarketRules
) -> None:
    state = new_state()
    yesterday = random_session(3, opening(date(2024, 7, 1)), 60, mean_gap_s=20.0, disorder=0.2, fine=True)
    for i, trade in enumerate(yesterday):
        state.apply(*trade, None, 0, i)
    close = max(reversed(yesterday), key=lambda trade: trade.time).price
    trades = random_session(4, opening(DAY), 60, mean_gap_s=20.0, disorder=0.2, fine=False)
    assert_session_is_right(state, trades, close, rules)


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    """Rows of (gap in ms, how far behind in ms, price in paisa, volume)."""
    gap = st.sampled_from([0, 1, 999, 1_000, 1_001, 10_000, 30_000, 59_999, 60_000, 120_000, 300_000, 301_000])
    behind = st.sampled_from([0, 0, 0, 0, 1, 999, 14_000]) if draw(st.booleans()) else st.just(0)
    price = st.integers(-30, 30).map(lambda step: 50_000 + step * 10) | st.integers(49_990, 50_010)
    return draw(
        st.lists(st.tuples(gap, behind, price, st.sampled_from([1, 10, 10, 500, 100_000])), min_size=1, max_size=30)
    )


@settings(max_examples=60)
@given(sessions(), st.none() | st.just(480.0))
def test_features_of_the_last_trade_are_right_whatever_came_before(
    new_state: Callable[[], SymbolState],
    opening: Callable[[date], int],
    rules: MarketRules,
    rows: list[tuple[int, int, int, int]],
    previous_close: float | None,
) -> None:
    newest = opening(DAY)
    trades = []
    for gap, behind, paisa, volume in rows:
        newest += gap
        trades.append(Trade(newest - (behind if trades else 0), paisa / 100, volume))
    state = new_state()
    state.previous_close = round((previous_close or 0) * 10_000)
    features = [state.apply(*trade, None, 0, i) for i, trade in enumerate(trades)]
    assert_same(features[-1], naive_features(trades, previous_close, rules))
