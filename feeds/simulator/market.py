"""The session's clock, and the market as a whole: the factor that all prices follow, and a halt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from feeds.simulator.universe import Array

SECOND = 1_000_000
"""Times in this package are µs since the session's midnight."""
AUCTION = (10 * 3600 + 46 * 60) * SECOND
"""The opening auction prints all its trades in the second that begins here."""
OPEN, CLOSE = 11 * 3600 * SECOND, 15 * 3600 * SECOND
SESSION_S = (CLOSE - OPEN) // SECOND
HALT_LENGTH_S = 20 * 60

_TREND, _TREND_MEMORY_S = 15e-4, 150.0
"""The market's drift, a fraction per minute, and how long a drift lasts: this is what breadth predicts."""
_PULL_S = 900.0
"""What has risen comes back in so many seconds, or a day would end far beyond what days do."""
_NOISE = 1.2e-4
"""Movement in a minute that nothing predicts."""
_HALT_RISE, _RISE_AFTER, _CALM_S = 0.044, 0.028, 900.0
"""A halt comes when the market has risen by 4 %; afterwards it falls back in so many seconds."""
_EXTREME_MOOD = 2.0


class Market(NamedTuple):
    """The market as a whole in each second of the session.

    Attributes:
        path: Its rise since the opening, as a logarithm.
        sentiment: Its drift, in units of the drift's usual size.
        halt_start_s: Second in which a halt of `HALT_LENGTH_S` begins; None: none does.
    """

    path: Array
    sentiment: Array
    halt_start_s: int | None


def make_market(halt_start_s: int | None, random: np.random.Generator) -> Market:
    """Draws the market's way through the day.

    With a halt it rises by more than 4 % until then, which is what halts an exchange, and calms down after it.
    """
    drift = _TREND / 60 * autoregressive(SESSION_S, _TREND_MEMORY_S, random)
    path = np.cumsum(drift + _NOISE / np.sqrt(60) * random.standard_normal(SESSION_S))
    path -= follow(path, _PULL_S)
    if halt_start_s is not None:
        seconds = np.arange(SESSION_S)
        resumed = halt_start_s + HALT_LENGTH_S
        path[halt_start_s:resumed] = path[halt_start_s]
        rise = np.minimum(seconds / halt_start_s, 1) * (np.log1p(_HALT_RISE) - path[halt_start_s])
        calm = 1 - np.exp(-np.maximum(seconds - resumed, 0) / _CALM_S)
        bend = rise - calm * np.log((1 + _HALT_RISE) / (1 + _RISE_AFTER))
        path += bend
        drift += np.diff(bend, prepend=0.0)
    return Market(path, np.clip(drift / (_TREND / 60), -_EXTREME_MOOD, _EXTREME_MOOD), halt_start_s)


def second_of(time_us: Array) -> Array:
    """Second of the session in which a time falls; before and after it, its first and its last."""
    return np.clip((time_us - OPEN) // SECOND, 0, SESSION_S - 1)


def follow(path: Array, lag_s: float) -> Array:
    """The path as somebody sees it who is so many seconds behind, on average."""
    keep = float(np.exp(-1 / lag_s))
    return _decaying_sum((1 - keep) * path, keep)


def autoregressive(length: int, memory_s: float, random: np.random.Generator) -> Array:
    """A stationary process of unit variance, one value a second, that forgets within `memory_s` seconds."""
    keep = float(np.exp(-1 / memory_s))
    noise = random.standard_normal(length)
    noise[1:] *= np.sqrt(1 - keep**2)
    return _decaying_sum(noise, keep)


def _decaying_sum(values: Array, keep: float) -> Array:
    """`y[i] = keep · y[i-1] + x[i]`, in blocks short enough for `keep ** -n` to stay a number."""
    block = max(1, int(-300 / np.log(keep)))
    result = np.empty(len(values))
    last = 0.0
    for start in range(0, len(values), block):
        part = values[start : start + block]
        powers = keep ** np.arange(1, len(part) + 1)
        result[start : start + block] = powers * (last + np.cumsum(part / powers))
        last = result[start + len(part) - 1]
    return result
