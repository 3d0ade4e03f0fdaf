"""The sums over all symbols that make a market snapshot."""

from __future__ import annotations

from math import log1p
from typing import TYPE_CHECKING

import numpy as np

from state.compiled import compiled_as
from state.features import COMMON_FEATURES, GROUP_SPANS_S, MARKET_SPANS_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

_CLIP = 0.003
_COMMON = len(COMMON_FEATURES)
_SPANS = len(MARKET_SPANS_S)
_PER_GROUP = 2 * len(GROUP_SPANS_S)
_FIRST_OF_GROUPS = MARKET_SPANS_S.index(GROUP_SPANS_S[0])
_LAST_OF_GROUPS = MARKET_SPANS_S.index(GROUP_SPANS_S[-1])
_S60 = MARKET_SPANS_S.index(60)

ADVANCING, DECLINING, TRADES, TURNOVER, INDEX_RETURN, RETURNS = 0, 1, 2, 3, 4, 5
"""Where the numbers for people stand in the totals; from `RETURNS` on the turnover-weighted return of each span."""

TOTALS = RETURNS + _SPANS


@compiled_as(
    "void(float64[:,::1], float64[:,::1], int64[::1], int64[::1], float64[::1], int64[::1], int64[::1], int64, int64,"
    " float64, float32[::1], float64[::1])"
)
def sum_up(  # noqa: C901, PLR0912, PLR0915 - one pass over the symbols for each span
    prices: Floats,
    turnovers: Floats,
    trades: Whole,
    last_trade: Whole,
    references: Floats,
    group_of: Whole,
    signs: Whole,
    second: int,
    count: int,
    index_return: float,
    block: NDArray[np.float32],
    totals: Floats,
) -> None:
    """Sums up a second.

    Args:
        prices: (seconds, symbols) last prices, rupees; a ring of seconds.
        turnovers: (seconds, symbols) rupees since the day began.
        trades: (seconds,) trades of all symbols since the day began.
        last_trade: (symbols,) second of each symbol's last trade.
        references: (symbols,) price that the index proxy is measured from.
        group_of: (symbols,) contract group; outside of the market's groups: unknown.
        signs: (symbols,) direction of the last price change.
        second: The second, epoch s.
        count: Symbols of today.
        index_return: The index against its reference; NaN where the feed carries none: then the proxy's is made.
        block: Receives the common features, then each group's.
        totals: Receives the numbers for people.
    """
    ring = prices.shape[0]
    groups = (len(block) - _COMMON) // _PER_GROUP
    now = second % ring
    block[:] = 0.0
    members = np.zeros(groups)
    for k in range(_SPANS):
        then = (second - MARKET_SPANS_S[k]) % ring
        since = second - MARKET_SPANS_S[k]
        moved = risen = fallen = 0
        total = clipped_total = sizes = weight = weighted = 0.0
        members[:] = 0.0
        by_group = _FIRST_OF_GROUPS <= k <= _LAST_OF_GROUPS
        put = _COMMON + 2 * (k - _FIRST_OF_GROUPS)
        for i in range(count):
            if last_trade[i] <= since:
                continue
            move = prices[now, i] / prices[then, i] - 1.0
            if move != move:  # noqa: PLR0124 - a symbol new within the span has no return
                continue
            clipped = min(max(move, -_CLIP), _CLIP)
            shares = turnovers[now, i] - turnovers[then, i]
            moved += 1
            total += move
            clipped_total += clipped
            sizes += abs(clipped)
            weight += shares
            weighted += shares * move
            sign = 0
            if move > 0.0:
                risen += 1
                sign = 1
            elif move < 0.0:
                fallen += 1
                sign = -1
            group = group_of[i]
            if by_group and 0 <= group < groups:
                members[group] += 1.0
                block[put + group * _PER_GROUP] += np.float32(sign)
                block[put + group * _PER_GROUP + 1] += np.float32(clipped)
        symbols = max(moved, 1)
        turnover_return = weighted / weight if weight > 0.0 else 0.0
        block[4 * k] = (risen - fallen) / symbols
        block[4 * k + 1] = total / symbols
        block[4 * k + 2] = clipped_total / symbols
        block[4 * k + 3] = turnover_return
        totals[RETURNS + k] = turnover_return
        if by_group:
            for group in range(groups):
                if members[group] > 1.0:
                    block[put + group * _PER_GROUP] /= np.float32(members[group])
                    block[put + group * _PER_GROUP + 1] /= np.float32(members[group])
        if k == _S60:
            totals[ADVANCING], totals[DECLINING] = risen, fallen
            block[4 * _SPANS + 1] = sizes / symbols
    ago_10, ago_60 = (second - MARKET_SPANS_S[0]) % ring, (second - MARKET_SPANS_S[_S60]) % ring
    ticks = active = 0
    turnover = worth = gained = 0.0
    for i in range(count):
        if last_trade[i] > second - MARKET_SPANS_S[_S60]:
            active += 1
            ticks += signs[i]
        turnover += turnovers[now, i] - turnovers[ago_60, i]
        worth += turnovers[now, i]
        gained += turnovers[now, i] * (prices[now, i] / references[i] - 1.0)
    if index_return != index_return:  # noqa: PLR0124 - NaN
        index_return = gained / worth if worth > 0.0 else 0.0
    totals[TRADES], totals[TURNOVER] = trades[now] - trades[ago_60], turnover
    totals[INDEX_RETURN] = index_return
    put = 4 * _SPANS
    block[put] = ticks / max(active, 1)
    block[put + 2] = active / max(count, 1)
    block[put + 3] = log1p(trades[now] - trades[ago_10])
    block[put + 4] = log1p(trades[now] - trades[ago_60])
    block[put + 5] = log1p(max(turnover, 0.0))
    block[put + 6] = index_return
