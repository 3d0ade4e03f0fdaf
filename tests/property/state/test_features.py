"""Each of a symbol's own features against NumPy, pandas and TA-Lib on the plain list of its trades."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
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
    price = arrived.price.iloc[-1]
    newest_before = arrived.time.cummax().shift(fill_value=arrived.time.iloc[0])
    followed = arrived[arrived.time >= newest_before]
    in_order = arrived.time.iloc[-1] >= newest_before.iloc[-1]
    ordered = arrived.sort_values("time", kind="stable")
    place = ordered.index.get_loc(arrived.index[-1])
    moves = np.sign(ordered.price.diff().fillna(0)).replace(0, np.nan).ffill().fillna(0)
    recent = ordered.price.iloc[-20:].to_numpy()
    day = rules.on(DAY)
    off_grid = ~np.isclose((arrived.price * 10) % 1, [[0.0], [1.0]]).any(axis=0)
    step = 0.01 if off_grid.any() else 0.1

    features = {
        "last_move": moves.iloc[place],
        "flips_20": (np.diff(moves.iloc[-20:]) != 0).sum() / len(recent),
        "vwap_distance": price / np.average(arrived.price, weights=arrived.volume) - 1,
        "trades_today": np.log1p(len(arrived)),
        "volume_today": np.log(arrived.volume.sum()),
        "high_distance": price / arrived.price.max() - 1,
        "low_distance": price / arrived.price.min() - 1,
        "open_return": price / arrived.price.iloc[0] - 1,
        "day_return": price / previous_close - 1 if previous_close else np.nan,
        "band_position": (price / previous_close - 1) / 0.10 if previous_close else np.nan,
        "minute_of_session": (arrived.time.iloc[-1] - day.open) / 60_000,
        "tick_size": step / price,
        "rupee_part": round(price * 100) % 100 / 100,
        "ten_rupee_part": round(price * 100) % 1000 / 1000,
    }
    features |= naive_volatility(followed, ordered, recent, place)
    features |= naive_last_trades(ordered, moves, price, step)
    features |= naive_last_moves(ordered, price, step)
    features |= naive_spans(ordered, moves, price, step)
    features |= naive_sequence(arrived, followed, in_order=bool(in_order))
    features |= naive_minute_indicators(followed, price)
    features |= naive_decayed(trades)
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


def share_of_range(price: float, prices: pd.Series[float]) -> float:
    return (price - prices.min()) / (prices.max() - prices.min()) if prices.max() > prices.min() else 0.5


def imbalance(rows: pd.DataFrame, moves: pd.Series[float]) -> float:
    return (rows.volume * moves[rows.index]).sum() / rows.volume.sum()


def naive_last_trades(ordered: pd.DataFrame, moves: pd.Series[float], price: float, step: float) -> dict[str, float]:
    """What is counted in trades, back from the newest."""
    features = {}
    for count in (3, 5, 10, 20, 60):
        back = ordered.price.iloc[-1 - count] if len(ordered) > count else np.nan
        features[f"return_{count}_trades"] = price / back - 1
    for count in (5, 10, 20):
        features[f"sma_{count}_distance"] = price / ordered.price.iloc[-count:].mean() - 1
    for count in (5, 20):
        last = ordered.iloc[-count:]
        features[f"vwap_{count}_trades_distance"] = price / np.average(last.price, weights=last.volume) - 1
        features[f"imbalance_{count}_trades"] = imbalance(last, moves)
        features[f"duration_{count}"] = np.log1p((ordered.time.iloc[-1] - last.time.iloc[0]) / 1000)
    for count in (20, 60):
        last_prices = ordered.price.iloc[-count:]
        features[f"range_{count}"] = (last_prices.max() - last_prices.min()) / step
        features[f"position_{count}"] = share_of_range(price, last_prices)
    return features


def naive_last_moves(ordered: pd.DataFrame, price: float, step: float) -> dict[str, float]:
    """The changes of price among the newest 64 trades."""
    last = ordered.iloc[-64:].reset_index(drop=True)
    change = last.price.diff().fillna(0).round(6)
    changes = np.flatnonzero(change)
    now = last.time.iloc[-1]

    def since(places: np.ndarray) -> float:
        return (now - last.time[places[-1]]) / 1000 if len(places) else np.nan

    def over(places: np.ndarray) -> float:
        return (price - last.price[places[-1]]) / step if len(places) else np.nan

    features = {f"move_{k}": change[changes[-k]] / step if len(changes) >= k else np.nan for k in (1, 2, 3, 4)}
    ups, downs = np.flatnonzero(change > 0), np.flatnonzero(change < 0)
    run = last.iloc[changes[-1] if len(changes) else 0 :]
    return features | {
        "run_trades": np.log1p(len(run)),
        "run_log_volume": np.log(run.volume.sum()),
        "since_change": since(changes),
        "since_up": since(ups),
        "since_down": since(downs),
        "up_level": over(ups),
        "down_level": over(downs),
    }


def naive_spans(ordered: pd.DataFrame, moves: pd.Series[float], price: float, step: float) -> dict[str, float]:
    """What is counted over spans of time."""
    now = ordered.time.iloc[-1]

    def within(seconds: int) -> pd.DataFrame:
        return ordered[ordered.time > now - seconds * 1000]

    features = {}
    for seconds in (5, 10, 20, 30, 60, 120, 300, 600):
        older = ordered.price[ordered.time <= now - seconds * 1000]
        features[f"return_{seconds}s"] = price / older.iloc[-1] - 1 if len(older) else np.nan
    for seconds in (60, 300):
        rows = within(seconds)
        steps = rows.price.diff().iloc[1:].round(6)
        features[f"mean_{seconds}s_distance"] = price / rows.price.mean() - 1
        features[f"vwap_{seconds}s_distance"] = price / np.average(rows.price, weights=rows.volume) - 1
        features[f"changes_{seconds}s"] = np.log1p(np.count_nonzero(steps))
        way, gone = rows.price.iloc[-1] - rows.price.iloc[0], steps.abs().sum()
        features[f"directness_{seconds}s"] = way / gone if gone else 0.0
        features[f"volume_{seconds}s"] = np.log(rows.volume.sum())
    for seconds in (10, 60, 300):
        features[f"trades_{seconds}s"] = np.log1p(len(within(seconds)))
    for seconds in (10, 30, 60, 120, 300):
        features[f"imbalance_{seconds}s"] = imbalance(within(seconds), moves)
    long = within(300)
    return features | {
        "trade_rush": len(within(60)) / len(long),
        "volume_rush": within(60).volume.sum() / long.volume.sum(),
        "range_300s": (long.price.max() - long.price.min()) / step,
        "position_300s": share_of_range(price, long.price),
    }


def naive_sequence(arrived: pd.DataFrame, followed: pd.DataFrame, *, in_order: bool) -> dict[str, float]:
    """What is counted from trade to trade: `followed` are those that came in order of time."""
    price, volume = arrived.price.iloc[-1], arrived.volume.iloc[-1]
    gaps = followed.time.diff().to_numpy()
    starts = np.flatnonzero(~(gaps < 1000))
    start = starts[-1]
    past = starts[-2] if len(starts) > 1 else None
    sweep = np.flatnonzero(~(gaps <= 50))[-1]
    earlier = followed.iloc[:-1] if in_order else followed

    def before(first: int) -> float:
        return followed.price.iloc[max(first - 1, 0)]

    return {
        "log_volume": np.log(volume),
        "log_turnover": np.log(price * volume),
        "odd_lot": volume % 10 / 10,
        "same_volume": float(len(earlier) > 0 and volume == earlier.volume.iloc[-1]),
        "burst_log_volume": np.log(followed.volume.iloc[start:].sum()),
        "burst_trades": np.log1p(len(followed) - start),
        "burst_return": price / before(start) - 1,
        "past_burst_log_volume": 0.0 if past is None else np.log1p(followed.volume.iloc[past:start].sum()),
        "past_burst_return": np.nan if past is None else before(start) / before(past) - 1,
        "burst_gap": np.nan if past is None else np.log1p(gaps[start] / 1000),
        "sweep_log_volume": np.log(followed.volume.iloc[sweep:].sum()),
        "sweep_return": price / before(sweep) - 1,
        "last_return": price / earlier.price.iloc[-1] - 1 if len(earlier) else 0.0,
        "age": gaps[-1] / 1000 if in_order and len(earlier) else 0.0,
    }


def naive_decayed(trades: list[Trade]) -> dict[str, float]:
    """Volumes that fade, from trade to trade of those that came in order of time; a sign is that of its moment."""
    features = {}
    for seconds in (20, 120):
        signed = unsigned = 0.0
        newest = trades[0].time
        seen: list[Trade] = []
        for trade in trades:
            seen.append(trade)
            if trade.time < newest:
                continue
            ordered = sorted(seen, key=lambda one: one.time)
            steps = [b.price - a.price for a, b in pairwise(ordered) if b.price != a.price]
            keep = np.exp(-(trade.time - newest) / 1000 / seconds)
            signed = signed * keep + (np.sign(steps[-1]) if steps else 0) * trade.volume
            unsigned = unsigned * keep + trade.volume
            newest = trade.time
        features[f"decayed_imbalance_{seconds}s"] = signed / unsigned
    return features


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


def assert_same(packed: bytes, reference: dict[str, float]) -> None:
    assert reference.keys() == set(NAMES)
    features = np.frombuffer(packed, np.float32)
    assert len(features) == len(NAMES)
    for name, value in zip(NAMES, features.tolist(), strict=True):
        # The volatility subtracts the mean's square: a deviation of nothing comes out as the root of rounding.
        tolerance = 1e-8 if name == "volatility_20" else 1e-9
        assert value == pytest.approx(reference[name], rel=1e-6, abs=tolerance, nan_ok=True), name


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
