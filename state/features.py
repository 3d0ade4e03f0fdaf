"""The feature schema: names, units and order of the numbers that the model sees, and its hash.

A row is the symbol's own block (made by :mod:`state.symbol_state`, trade by trade) followed by the market's block
(made by :mod:`state.market_state`, second by second). All are float32; NaN says "not known yet".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Feature(NamedTuple):
    """One column.

    Attributes:
        name: Its name.
        unit: "ratio" (0.01 is one per cent), "log" (natural logarithm), "s", "share", "index" or "sign".
        meaning: What it says, in one line.
    """

    name: str
    unit: str
    meaning: str


OWN_FEATURES = (
    Feature("log_volume", "log", "shares of this trade"),
    Feature("log_turnover", "log", "rupees of this trade"),
    Feature(
        "burst_log_volume", "log", "shares of the trades that follow one another within a second, this one included"
    ),
    Feature("burst_return", "ratio", "price against the price before that burst"),
    Feature("last_return", "ratio", "price against the previous trade's"),
    Feature("last_move", "sign", "direction of the last price change"),
    Feature("flips_20", "share", "changes of direction among the last 20 trades: the bid-ask bounce"),
    Feature("sma_5_distance", "ratio", "price against the mean of the last 5 trades"),
    Feature("sma_20_distance", "ratio", "price against the mean of the last 20 trades"),
    Feature("ema_12_distance", "ratio", "price against the EMA-12 of minute closes"),
    Feature("rsi_14", "index", "Wilder's RSI-14 of minute closes, 0 to 100"),
    Feature("macd", "ratio", "MACD 12/26 of minute closes, by price"),
    Feature("macd_signal", "ratio", "its signal line (9), by price"),
    Feature("macd_histogram", "ratio", "their difference, by price"),
    Feature("volatility_20", "ratio", "standard deviation of the last 20 trades' returns"),
    Feature("carried_volatility", "ratio", "exponentially weighted mean of absolute returns, half-life 11 trades"),
    Feature("volume_z_20", "index", "volume in standard deviations above the mean of the last 20"),
    Feature("vwap_distance", "ratio", "price against the session's VWAP"),
    Feature("return_10s", "ratio", "price against the last price 10 s ago"),
    Feature("return_30s", "ratio", "price against the last price 30 s ago"),
    Feature("return_60s", "ratio", "price against the last price 60 s ago"),
    Feature("return_120s", "ratio", "price against the last price 120 s ago"),
    Feature("return_300s", "ratio", "price against the last price 300 s ago"),
    Feature("mean_300s_distance", "ratio", "price against the mean price of 300 s"),
    Feature("trades_60s", "log", "1 + trades of 60 s"),
    Feature("trades_300s", "log", "1 + trades of 300 s"),
    Feature("imbalance_60s", "share", "signed by unsigned volume of 60 s"),
    Feature("imbalance_300s", "share", "signed by unsigned volume of 300 s"),
    Feature("age", "log", "1 + seconds since the previous trade"),
    Feature("duration_20", "log", "1 + seconds that the last 20 trades span"),
    Feature("trades_today", "log", "1 + trades of the session"),
    Feature("high_distance", "ratio", "price against the session's high"),
    Feature("low_distance", "ratio", "price against the session's low"),
    Feature("open_return", "ratio", "price against the session's first"),
    Feature("day_return", "ratio", "price against the previous close"),
    Feature("band_position", "share", "day return by the price band: -1 and 1 are its edges"),
    Feature("minute_of_session", "index", "minutes since the open"),
    Feature("tick_size", "ratio", "smallest price step by price"),
)

MARKET_SPANS_S = (60, 120, 300)

_PER_SPAN = (
    ("breadth_{span}s", "share", "rising less falling symbols, by those that traded, over {span} s"),
    ("equal_return_{span}s", "ratio", "mean return of the symbols that traded, over {span} s"),
    ("clipped_return_{span}s", "ratio", "the same with each return clipped at 30 basis points, over {span} s"),
    ("turnover_return_{span}s", "ratio", "turnover-weighted return over {span} s"),
    ("group_breadth_{span}s", "share", "breadth of the symbol's contract group over {span} s"),
)

MARKET_FEATURES = (
    *(
        Feature(name.format(span=span), unit, meaning.format(span=span))
        for span in MARKET_SPANS_S
        for name, unit, meaning in _PER_SPAN
    ),
    Feature("market_trades_60s", "log", "1 + trades of all symbols of 60 s"),
    Feature("market_turnover_60s", "log", "1 + rupees of all symbols of 60 s"),
    Feature("index_return", "ratio", "the index, or its turnover-weighted proxy, against the session's reference"),
)

FEATURES = OWN_FEATURES + MARKET_FEATURES
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
OWN_COUNT = len(OWN_FEATURES)
MARKET_COUNT = len(MARKET_FEATURES)
FEATURE_COUNT = OWN_COUNT + MARKET_COUNT


def _schema_hash() -> str:
    text = "\n".join(f"{feature.name}|{feature.unit}|{feature.meaning}" for feature in FEATURES)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


SCHEMA_HASH = _schema_hash()
"""Changes with every name, unit, meaning or order: a model made for another schema is refused."""


def complete(packed: bytes, rows: int) -> NDArray[np.float32]:
    """The feature block of `rows` trades.

    Args:
        packed: Per trade the symbol's own features, then the market's, float32, one row behind the other.
        rows: Number of trades.

    Returns:
        Shape (rows, FEATURE_COUNT), float32.
    """
    return np.frombuffer(packed, np.float32).reshape(rows, FEATURE_COUNT)
