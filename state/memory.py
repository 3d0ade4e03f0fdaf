"""How a symbol's memory is laid out: one array of 64-bit words, whole numbers and floats side by side.

First come the scalars below; what lies before `DUMPED` is state, what follows is given anew by the market's rules or
is an answer of the last trade. Behind them: the highs and lows of the closed minutes, then the window's columns, each
with one place more than the window's capacity.
"""

from __future__ import annotations

from itertools import count

from state.features import OWN_COUNT
from state.window import SPANS_S

_word = count().__next__


def _words(number: int) -> int:
    first = _word()
    for _ in range(number - 1):
        _word()
    return first


# Where the window's columns are in use: of [HEAD, TAIL) of CAPACITY places.
HEAD = _word()
TAIL = _word()
CAPACITY = _word()
COLUMNS = _word()
"""First word of the columns."""

PREVIOUS_CLOSE = _word()
SESSION = _word()
"""All from here to `DUMPED` is forgotten with the session."""

OPEN, HIGH, LOW = SESSION, _word(), _word()
VOLUME = _word()
TURNOVER = _word()  # float: exact for all that a market trades, and no wrong number beyond
TRADES = _word()
LAST_TIME = _word()
LAST_PRICE = _word()
LAST_VOLUME = _word()
MINUTE = _word()
FINE_GRID = _word()
FIRST_SIGN = _word()
"""Sign of the oldest trade in the window."""

BURST_VOLUME, BURST_TRADES, BURST_REFERENCE = _word(), _word(), _word()
PAST_BURST_VOLUME, PAST_BURST_RETURN, BURST_GAP = _word(), _word(), _word()
SWEEP_VOLUME, SWEEP_REFERENCE = _word(), _word()
CARRIED = _word()
DECAYED = _words(4)
"""Floats: signed and unsigned volume, with the fast and with the slow decay."""

EMA, RSI, MACD = _words(3), _words(5), _words(13)

BAND_SIDE = _word()
MINUTE_HIGH, MINUTE_LOW = _word(), _word()
RANGE_COUNT, RANGE_NEXT, RANGE_HIGH, RANGE_LOW = _word(), _word(), _word(), _word()
PAST_MOVES, PAST_MOVE_SUM = _word(), _word()
QUIET_BREAKOUT, QUIET_VOLATILITY, QUIET_VOLUME = _word(), _word(), _word()

STARTS = _words(len(SPANS_S))
"""Per span: index of the first trade later than (newest time - span)."""

DUMPED = _word()

# What the rules say.
DAY_OPEN, BAND = DUMPED, _word()
COARSE_UNITS, COARSE, FINE = _word(), _word(), _word()
BREAKOUT_MINUTES, BREAKOUT_COOLDOWN = _word(), _word()
SPIKE_RATIO, SPIKE_TICKS, SPIKE_COOLDOWN = _word(), _word(), _word()
BURST_Z, BURST_TICKS, BURST_COOLDOWN = _word(), _word(), _word()

# What the last trade gave, for its alerts.
PRICE, VOLATILITY, USUAL, Z_SCORE, DAY_RETURN = _word(), _word(), _word(), _word(), _word()

OUT = _words((OWN_COUNT + 1) // 2)
"""The last trade's features, float32."""

RANGES = _word()
"""Behind it: the highs of the closed minutes, then their lows."""

TIMES, PRICES, VOLUMES, SIGNS, VOLUME_SUMS, SIGNED_SUMS, PRICE_SUMS, TURNOVER_SUMS, CHANGE_SUMS, PATH_SUMS = range(10)
"""The window's columns. Sums run over all trades before a place; only their differences mean something."""

COLUMN_COUNT = 10
KEPT_COLUMNS = (TIMES, PRICES, VOLUMES)
"""The others follow from these."""

# What a trade has set off.
AT_BAND, BROKE_OUT, VOLATILITY_SPIKE, VOLUME_SPIKE, IS_FULL = 1, 2, 4, 8, 16
