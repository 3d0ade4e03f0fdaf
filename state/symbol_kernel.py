"""One trade into a symbol's memory: its features come out, and what it has set off. See :mod:`state.memory`."""

from __future__ import annotations

from math import exp, isnan, log1p, nan
from typing import TYPE_CHECKING

import numpy as np

from state import memory as at
from state.compiled import compiled, compiled_as
from state.feature_kernel import EMA, FAST, RECENT, RSI, SIGNAL, SLOW, put_features
from state.indicators import ema_reset, ema_update, macd_reset, macd_update, rsi_reset, rsi_update
from state.window import PRICE_UNITS
from state.window_kernel import add_to_window, column, make_room, sum_up_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.int64]
    Floats = NDArray[np.float64]

_MINUTE_MS = 60_000
_BURST_MS = 1_000
_SWEEP_MS = 50
_CARRY = 1.0 - 2.0 ** (-1.0 / 11.0)
_FAST_MS, _SLOW_MS = 20_000.0, 120_000.0
_BAND_TOUCH = 0.995
"""A price this near the band (as a fraction of it) is at the band: the grid rarely has the exact price."""
_UNITS = float(PRICE_UNITS)


@compiled
def _usual_move(memory: Words, floats: Floats) -> float:
    """Mean absolute return of the session up to the recent trades; the move that has just left those joins it."""
    i = memory[at.TAIL] - RECENT
    if i > memory[at.HEAD]:
        prices = column(memory, at.PRICES)
        memory[at.PAST_MOVES] += 1
        floats[at.PAST_MOVE_SUM] += abs(memory[prices + i] / memory[prices + i - 1] - 1.0)
    return floats[at.PAST_MOVE_SUM] / memory[at.PAST_MOVES] if memory[at.PAST_MOVES] > 0 else 0.0


@compiled
def _alerts(memory: Words, floats: Floats, time: int, price: int) -> int:
    """Which rules speak; each rests for its cooldown after it has spoken, the band until the price leaves it."""
    set_off = 0
    band, day_return = floats[at.BAND], floats[at.DAY_RETURN]
    side = 0
    if abs(day_return) >= band * _BAND_TOUCH:  # False for NaN: no previous close, no band
        side = 1 if day_return > 0.0 else -1
    if side != 0 and side != memory[at.BAND_SIDE]:
        set_off |= at.AT_BAND
    memory[at.BAND_SIDE] = side
    has_range = memory[at.RANGE_COUNT] == memory[at.BREAKOUT_MINUTES]
    outside = price > memory[at.RANGE_HIGH] or price < memory[at.RANGE_LOW]
    if has_range and outside and time >= memory[at.QUIET_BREAKOUT]:
        set_off |= at.BROKE_OUT
        memory[at.QUIET_BREAKOUT] = time + memory[at.BREAKOUT_COOLDOWN]
    usual = _usual_move(memory, floats)
    floats[at.USUAL] = usual
    trades = memory[at.TRADES]
    is_wild = floats[at.VOLATILITY] > floats[at.SPIKE_RATIO] * usual > 0.0 and trades >= memory[at.SPIKE_TICKS]
    if is_wild and time >= memory[at.QUIET_VOLATILITY]:
        set_off |= at.VOLATILITY_SPIKE
        memory[at.QUIET_VOLATILITY] = time + memory[at.SPIKE_COOLDOWN]
    if (
        floats[at.Z_SCORE] >= floats[at.BURST_Z]
        and trades >= memory[at.BURST_TICKS]
        and time >= memory[at.QUIET_VOLUME]
    ):
        set_off |= at.VOLUME_SPIKE
        memory[at.QUIET_VOLUME] = time + memory[at.BURST_COOLDOWN]
    return set_off


@compiled
def _close_minute(memory: Words) -> None:
    """Closes the minute: its high and low join the range that a breakout must leave."""
    minutes, place = memory[at.BREAKOUT_MINUTES], memory[at.RANGE_NEXT]
    memory[at.RANGES + place] = memory[at.MINUTE_HIGH]
    memory[at.RANGES + minutes + place] = memory[at.MINUTE_LOW]
    memory[at.RANGE_NEXT] = (place + 1) % minutes
    memory[at.RANGE_COUNT] = min(memory[at.RANGE_COUNT] + 1, minutes)
    high, low = memory[at.RANGES], memory[at.RANGES + minutes]
    for i in range(1, memory[at.RANGE_COUNT]):
        high = max(high, memory[at.RANGES + i])
        low = min(low, memory[at.RANGES + minutes + i])
    memory[at.RANGE_HIGH], memory[at.RANGE_LOW] = high, low
    memory[at.MINUTE_HIGH] = memory[at.MINUTE_LOW] = 0


@compiled
def _follow(
    memory: Words, floats: Floats, time: int, price: int, volume: int, age: int, last_return: float, first: bool
) -> None:
    """Moves on what only goes forward in time: minutes, carried volatility, decayed volumes, bursts."""
    minute = time // _MINUTE_MS
    if minute > memory[at.MINUTE]:
        close = float(memory[at.LAST_PRICE])
        ema_update(floats, at.EMA, EMA, close)
        rsi_update(floats, at.RSI, RSI, close)
        macd_update(floats, at.MACD, FAST, SLOW, SIGNAL, close)
        _close_minute(memory)
        memory[at.MINUTE] = minute
    if memory[at.MINUTE_LOW] == 0 or price < memory[at.MINUTE_LOW]:
        memory[at.MINUTE_LOW] = price
    memory[at.MINUTE_HIGH] = max(memory[at.MINUTE_HIGH], price)
    if not first:
        size = abs(last_return)
        carried = floats[at.CARRIED]
        floats[at.CARRIED] = size if isnan(carried) else carried + _CARRY * (size - carried)
    sign = memory[column(memory, at.SIGNS) + memory[at.TAIL] - 1]
    for k in range(2):
        keep = exp(-age / (_FAST_MS if k == 0 else _SLOW_MS))
        floats[at.DECAYED + 2 * k] = floats[at.DECAYED + 2 * k] * keep + sign * volume
        floats[at.DECAYED + 2 * k + 1] = floats[at.DECAYED + 2 * k + 1] * keep + volume
    if first or age >= _BURST_MS:
        if not first:
            memory[at.PAST_BURST_VOLUME] = memory[at.BURST_VOLUME]
            floats[at.PAST_BURST_RETURN] = memory[at.LAST_PRICE] / memory[at.BURST_REFERENCE] - 1.0
            floats[at.BURST_GAP] = log1p(age / 1000.0)
        memory[at.BURST_REFERENCE] = memory[at.LAST_PRICE]
        memory[at.BURST_VOLUME] = memory[at.BURST_TRADES] = 0
    memory[at.BURST_VOLUME] += volume
    memory[at.BURST_TRADES] += 1
    if first or age > _SWEEP_MS:
        memory[at.SWEEP_REFERENCE] = memory[at.LAST_PRICE]
        memory[at.SWEEP_VOLUME] = 0
    memory[at.SWEEP_VOLUME] += volume
    memory[at.LAST_TIME] = time
    memory[at.LAST_PRICE] = price
    memory[at.LAST_VOLUME] = volume


@compiled_as("void(int64[::1])")
def start_session(memory: Words) -> None:
    """Forgets the session: window, indicators, everything but the previous close."""
    floats = memory.view(np.float64)
    memory[at.HEAD] = memory[at.TAIL] = 0
    memory[at.SESSION : at.DUMPED] = 0
    floats[at.TURNOVER] = 0.0
    floats[at.CARRIED] = floats[at.PAST_BURST_RETURN] = floats[at.BURST_GAP] = nan
    ema_reset(floats, at.EMA, EMA)
    rsi_reset(floats, at.RSI, RSI)
    macd_reset(floats, at.MACD, FAST, SLOW, SIGNAL)


@compiled_as("int64(int64[::1], int64, float64, int64)")
def take_trade(memory: Words, time: int, price_rupees: float, volume: int) -> int:
    """Takes in a trade.

    Args:
        memory: The symbol's.
        time: Event time, ms since the epoch.
        price_rupees: Price of one share.
        volume: Shares.

    Returns:
        What it has set off: a sum of `AT_BAND`, `BROKE_OUT`, `VOLATILITY_SPIKE`, `VOLUME_SPIKE`, and `IS_FULL` where
        the window has no room for one more trade. The features stand at `OUT`.
    """
    floats = memory.view(np.float64)
    price = int(np.rint(price_rupees * _UNITS))
    memory[at.PRICE] = price
    age = time - memory[at.LAST_TIME]
    first = memory[at.TRADES] == 0
    if first:
        age = 0
        memory[at.OPEN] = memory[at.HIGH] = memory[at.LOW] = memory[at.LAST_PRICE] = price
        memory[at.BURST_REFERENCE] = memory[at.SWEEP_REFERENCE] = price
        memory[at.MINUTE] = time // _MINUTE_MS
    last_return = price / memory[at.LAST_PRICE] - 1.0
    same_volume = 1.0 if volume == memory[at.LAST_VOLUME] else 0.0
    place = add_to_window(memory, time, price, volume)
    memory[at.TRADES] += 1
    memory[at.VOLUME] += volume
    floats[at.TURNOVER] += float(price) * float(volume)
    memory[at.HIGH] = max(memory[at.HIGH], price)
    memory[at.LOW] = min(memory[at.LOW], price)
    if memory[at.FINE_GRID] == 0 and price % memory[at.COARSE_UNITS] != 0:
        memory[at.FINE_GRID] = 1
    if age >= 0:
        _follow(memory, floats, time, price, volume, age, last_return, first)
    put_features(memory, place, time, price, volume, age, last_return, same_volume)
    set_off = _alerts(memory, floats, time, price)
    if make_room(memory):
        set_off |= at.IS_FULL
    return set_off


@compiled_as("void(int64[::1])")
def make_sums(memory: Words) -> None:
    """Makes the window's signs and sums out of its times, prices and volumes."""
    sum_up_from(memory, memory[at.HEAD])
