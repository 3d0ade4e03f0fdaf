"""The features that a symbol's memory gives of its newest trade. See :mod:`state.memory` for the words' places."""

from __future__ import annotations

from math import isnan, log, log1p, nan, sqrt
from typing import TYPE_CHECKING

import numpy as np

from state import memory as at
from state.compiled import compiled
from state.indicators import ema_peek, macd_peek, rsi_peek
from state.window import PRICE_UNITS, SPANS_S
from state.window_kernel import column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Row = tuple[float, ...]

EMA, RSI, FAST, SLOW, SIGNAL = 12, 14, 12, 26, 9
"""Periods of the indicators, in minutes."""

RECENT = 20
"""So many trades are the recent ones."""

_MINUTE_MS = 60_000
_SCANNED = 64
_MIN_RETURNS, _MIN_VOLUMES = 2, 5
_UNITS = float(PRICE_UNITS)
_S10, _S30, _S60, _S120, _S300 = (SPANS_S.index(span) for span in (10, 30, 60, 120, 300))


@compiled
def _put(out: NDArray[np.float32], put: int, row: Row) -> int:
    for i in range(len(row)):
        out[put + i] = row[i]
    return put + len(row)


@compiled
def _of_the_trade(memory: Words, floats: Floats, price: int, volume: int, same_volume: float) -> Row:
    return (
        log(volume),
        log(float(price) * float(volume) / _UNITS),
        (volume % 10) / 10.0,
        same_volume,
        log(memory[at.BURST_VOLUME]),
        log1p(memory[at.BURST_TRADES]),
        price / memory[at.BURST_REFERENCE] - 1.0,
        log1p(memory[at.PAST_BURST_VOLUME]),
        floats[at.PAST_BURST_RETURN],
        floats[at.BURST_GAP],
        log(memory[at.SWEEP_VOLUME]),
        price / memory[at.SWEEP_REFERENCE] - 1.0,
    )


@compiled
def _of_the_moves(  # noqa: C901 - one pass back over the trades
    memory: Words, place: int, price: int, step: float, last_return: float
) -> Row:
    """The last price changes, found by going back from the newest trade."""
    tail = memory[at.TAIL]
    oldest = max(memory[at.HEAD], tail - _SCANNED)
    times, prices, signs = column(memory, at.TIMES), column(memory, at.PRICES), column(memory, at.SIGNS)
    sums = column(memory, at.VOLUME_SUMS)
    now = memory[times + tail - 1]
    one = two = three = four = nan
    changed_at = oldest
    since_change = since_up = since_down = up_level = down_level = nan
    found = 0
    for i in range(tail - 1, oldest, -1):
        here = memory[prices + i]
        move = here - memory[prices + i - 1]
        if move == 0:
            continue
        found += 1
        if found == 1:
            one, changed_at, since_change = move / step, i, (now - memory[times + i]) / 1000.0
        elif found == 2:  # noqa: PLR2004 - the second
            two = move / step
        elif found == 3:  # noqa: PLR2004 - the third
            three = move / step
        elif found == 4:  # noqa: PLR2004 - the fourth
            four = move / step
        if move > 0 and isnan(since_up):
            since_up, up_level = (now - memory[times + i]) / 1000.0, (price - here) / step
        elif move < 0 and isnan(since_down):
            since_down, down_level = (now - memory[times + i]) / 1000.0, (price - here) / step
        if found >= 4 and not (isnan(since_up) or isnan(since_down)):  # noqa: PLR2004 - as above
            break
    count = min(tail - memory[at.HEAD], RECENT)
    flips = 0
    for i in range(tail - count + 1, tail):
        if memory[signs + i] != memory[signs + i - 1]:
            flips += 1
    return (
        last_return,
        float(memory[signs + place]),
        flips / count,
        one,
        two,
        three,
        four,
        log1p(tail - changed_at),
        log(memory[sums + tail] - memory[sums + changed_at]),
        since_change,
        since_up,
        since_down,
        up_level,
        down_level,
    )


@compiled
def _over_mean(memory: Words, price: int, sums: int, first: int) -> float:
    """The price against the mean of all from one trade on."""
    tail = memory[at.TAIL]
    return float(price * (tail - first) / (memory[sums + tail] - memory[sums + first]) - 1.0)


@compiled
def _over_vwap(memory: Words, price: int, turnovers: int, volumes: int, first: int) -> float:
    tail = memory[at.TAIL]
    traded = memory[volumes + tail] - memory[volumes + first]
    return float(price * float(traded) / (memory[turnovers + tail] - memory[turnovers + first]) - 1.0)


@compiled
def _trades_back(memory: Words, prices: int, price: int, count: int) -> float:
    i = memory[at.TAIL] - 1 - count
    return price / memory[prices + i] - 1.0 if i >= memory[at.HEAD] else nan


@compiled
def _position(low: int, high: int, price: int) -> float:
    return (price - low) / (high - low) if high > low else 0.5


@compiled
def _of_the_last_trades(memory: Words, price: int, step: float) -> Row:
    head, tail = memory[at.HEAD], memory[at.TAIL]
    prices, sums = column(memory, at.PRICES), column(memory, at.PRICE_SUMS)
    turnovers, volumes = column(memory, at.TURNOVER_SUMS), column(memory, at.VOLUME_SUMS)
    first_5, first_10, first_20 = max(head, tail - 5), max(head, tail - 10), max(head, tail - 20)
    high = low = memory[prices + tail - 1]
    for i in range(first_20, tail):
        high, low = max(high, memory[prices + i]), min(low, memory[prices + i])
    high_60, low_60 = high, low
    for i in range(max(head, tail - 60), first_20):
        high_60, low_60 = max(high_60, memory[prices + i]), min(low_60, memory[prices + i])
    return (
        _trades_back(memory, prices, price, 3),
        _trades_back(memory, prices, price, 5),
        _trades_back(memory, prices, price, 10),
        _trades_back(memory, prices, price, 20),
        _trades_back(memory, prices, price, 60),
        _over_mean(memory, price, sums, first_5),
        _over_mean(memory, price, sums, first_10),
        _over_mean(memory, price, sums, first_20),
        _over_vwap(memory, price, turnovers, volumes, first_5),
        _over_vwap(memory, price, turnovers, volumes, first_20),
        (high - low) / step,
        _position(low, high, price),
        (high_60 - low_60) / step,
        _position(low_60, high_60, price),
    )


@compiled
def _of_the_minutes(floats: Floats, price: int) -> Row:
    value = float(price)
    macd, signal, histogram = macd_peek(floats, at.MACD, FAST, SLOW, SIGNAL, value)
    return (
        value / ema_peek(floats, at.EMA, EMA, value) - 1.0,
        rsi_peek(floats, at.RSI, RSI, value),
        macd / value,
        signal / value,
        histogram / value,
    )


@compiled
def _volatility(memory: Words) -> float:
    """Standard deviation (population form) of the last 20 trades' returns; NaN below two returns."""
    tail, prices = memory[at.TAIL], column(memory, at.PRICES)
    first = max(memory[at.HEAD], tail - RECENT)
    count = tail - first - 1
    if count < _MIN_RETURNS:
        return nan
    total = squares = 0.0
    for i in range(first + 1, tail):
        move = memory[prices + i] / memory[prices + i - 1] - 1.0
        total += move
        squares += move * move
    mean = total / count
    variance = squares / count - mean * mean
    return sqrt(variance) if variance > 0.0 else 0.0


@compiled
def _z_score(memory: Words, place: int, volume: int) -> float:
    """Standard deviations of a volume above the mean of the 20 before; NaN below five, or where all are equal."""
    volumes = column(memory, at.VOLUMES)
    first = max(memory[at.HEAD], place - RECENT)
    count = place - first
    if count < _MIN_VOLUMES:
        return nan
    total = squares = 0.0
    for i in range(first, place):
        shares = float(memory[volumes + i])
        total += shares
        squares += shares * shares
    spread = count * squares - total * total
    return (float(volume) * count - total) / sqrt(spread) if spread > 0.0 else nan


@compiled
def _return_over(memory: Words, price: int, k: int) -> float:
    start = memory[at.STARTS + k]
    return price / memory[column(memory, at.PRICES) + start - 1] - 1.0 if start > memory[at.HEAD] else nan


@compiled
def _of_the_returns(memory: Words, price: int) -> Row:
    return (
        _return_over(memory, price, 0),
        _return_over(memory, price, 1),
        _return_over(memory, price, 2),
        _return_over(memory, price, 3),
        _return_over(memory, price, 4),
        _return_over(memory, price, 5),
        _return_over(memory, price, 6),
        _return_over(memory, price, 7),
    )


@compiled
def _between(memory: Words, number: int, first: int) -> float:
    """What a column's sums have gained from one trade on."""
    sums = column(memory, number)
    return float(memory[sums + memory[at.TAIL]] - memory[sums + first])


@compiled
def _directness(memory: Words, first: int) -> float:
    prices, gone = column(memory, at.PRICES), _between(memory, at.PATH_SUMS, first + 1)
    way = memory[prices + memory[at.TAIL] - 1] - memory[prices + first]
    return way / gone if gone > 0.0 else 0.0


@compiled
def _of_the_spans(memory: Words, price: int, step: float) -> Row:
    start_60, start_300, tail = memory[at.STARTS + _S60], memory[at.STARTS + _S300], memory[at.TAIL]
    prices, sums = column(memory, at.PRICES), column(memory, at.PRICE_SUMS)
    turnovers, volumes = column(memory, at.TURNOVER_SUMS), column(memory, at.VOLUME_SUMS)
    high = low = memory[prices + tail - 1]
    for i in range(start_300, tail):
        high, low = max(high, memory[prices + i]), min(low, memory[prices + i])
    return (
        _over_mean(memory, price, sums, start_60),
        _over_mean(memory, price, sums, start_300),
        _over_vwap(memory, price, turnovers, volumes, start_60),
        _over_vwap(memory, price, turnovers, volumes, start_300),
        (high - low) / step,
        _position(low, high, price),
        log1p(_between(memory, at.CHANGE_SUMS, start_60 + 1)),
        log1p(_between(memory, at.CHANGE_SUMS, start_300 + 1)),
        _directness(memory, start_60),
        _directness(memory, start_300),
    )


@compiled
def _of_the_volumes(memory: Words) -> Row:
    tail, start_60, start_300 = memory[at.TAIL], memory[at.STARTS + _S60], memory[at.STARTS + _S300]
    volume_60, volume_300 = _between(memory, at.VOLUME_SUMS, start_60), _between(memory, at.VOLUME_SUMS, start_300)
    return (
        log1p(tail - memory[at.STARTS + _S10]),
        log1p(tail - start_60),
        log1p(tail - start_300),
        (tail - start_60) / (tail - start_300),
        log(volume_60),
        log(volume_300),
        volume_60 / volume_300,
    )


@compiled
def _imbalance(memory: Words, first: int) -> float:
    return _between(memory, at.SIGNED_SUMS, first) / _between(memory, at.VOLUME_SUMS, first)


@compiled
def _of_the_flow(memory: Words, floats: Floats, age: int) -> Row:
    head, tail, times = memory[at.HEAD], memory[at.TAIL], column(memory, at.TIMES)
    first_5, first_20 = max(head, tail - 5), max(head, tail - RECENT)
    now = memory[times + tail - 1]
    return (
        _imbalance(memory, memory[at.STARTS + _S10]),
        _imbalance(memory, memory[at.STARTS + _S30]),
        _imbalance(memory, memory[at.STARTS + _S60]),
        _imbalance(memory, memory[at.STARTS + _S120]),
        _imbalance(memory, memory[at.STARTS + _S300]),
        _imbalance(memory, first_5),
        _imbalance(memory, first_20),
        floats[at.DECAYED] / floats[at.DECAYED + 1],
        floats[at.DECAYED + 2] / floats[at.DECAYED + 3],
        age / 1000.0,
        log1p((now - memory[times + first_5]) / 1000.0),
        log1p((now - memory[times + first_20]) / 1000.0),
    )


@compiled
def _of_the_session(memory: Words, floats: Floats, time: int, price: int, grid: float, day_return: float) -> Row:
    return (
        log1p(memory[at.TRADES]),
        log(memory[at.VOLUME]),
        price / memory[at.HIGH] - 1.0,
        price / memory[at.LOW] - 1.0,
        price / memory[at.OPEN] - 1.0,
        day_return,
        day_return / floats[at.BAND],
        (time - memory[at.DAY_OPEN]) / _MINUTE_MS,
        grid * _UNITS / price,
        (price % PRICE_UNITS) / _UNITS,
        (price % (10 * PRICE_UNITS)) / (10.0 * _UNITS),
    )


@compiled
def put_features(
    memory: Words,
    place: int,
    time: int,
    price: int,
    volume: int,
    age: int,
    last_return: float,
    same_volume: float,
) -> None:
    """Writes the features in the order of `OWN_FEATURES`; what alerts ask for is left in the memory."""
    floats = memory.view(np.float64)
    grid = floats[at.FINE] if memory[at.FINE_GRID] == 1 else floats[at.COARSE]
    step = grid * _UNITS
    volatility = _volatility(memory)
    z_score = _z_score(memory, place, volume)
    reference = memory[at.PREVIOUS_CLOSE]
    day_return = price / reference - 1.0 if reference > 0 else nan
    floats[at.VOLATILITY], floats[at.Z_SCORE], floats[at.DAY_RETURN] = volatility, z_score, day_return
    out = memory.view(np.float32)[2 * at.OUT :]
    put = _put(out, 0, _of_the_trade(memory, floats, price, volume, same_volume))
    put = _put(out, put, _of_the_moves(memory, place, price, step, last_return))
    put = _put(out, put, _of_the_last_trades(memory, price, step))
    put = _put(out, put, _of_the_minutes(floats, price))
    put = _put(
        out, put, (volatility, floats[at.CARRIED], z_score, price * memory[at.VOLUME] / floats[at.TURNOVER] - 1.0)
    )
    put = _put(out, put, _of_the_returns(memory, price))
    put = _put(out, put, _of_the_spans(memory, price, step))
    put = _put(out, put, _of_the_volumes(memory))
    put = _put(out, put, _of_the_flow(memory, floats, max(age, 0)))
    _put(out, put, _of_the_session(memory, floats, time, price, grid, day_return))
