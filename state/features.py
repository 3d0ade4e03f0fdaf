"""The feature schema: names, units and order of the numbers that the model sees, and its hash.

A row is the symbol's own part (made by :mod:`state.feature_kernel`, trade by trade) followed by the market's part
(made by :mod:`state.market_state`, second by second). All are float32; NaN says "not known yet".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Block = NDArray[np.float32]


class Feature(NamedTuple):
    """One column.

    Attributes:
        name: Its name.
        unit: "ratio" (0.01 is one per cent), "log" (natural logarithm), "s", "steps" (of the price grid), "share",
            "index" or "sign".
        meaning: What it says, in one line.
    """

    name: str
    unit: str
    meaning: str


OWN_FEATURES = (
    # The trade, and the order that it seems to belong to.
    Feature("log_volume", "log", "shares of this trade"),
    Feature("log_turnover", "log", "rupees of this trade"),
    Feature("odd_lot", "share", "shares beyond whole tens, by ten"),
    Feature("same_volume", "sign", "1 where the trade before had as many shares"),
    Feature(
        "burst_log_volume", "log", "shares of the trades that follow one another within a second, this one included"
    ),
    Feature("burst_trades", "log", "1 + trades of that burst"),
    Feature("burst_return", "ratio", "price against the price before that burst"),
    Feature("past_burst_log_volume", "log", "1 + shares of the burst before"),
    Feature("past_burst_return", "ratio", "what the price did in the burst before"),
    Feature("burst_gap", "log", "1 + seconds between the two bursts"),
    Feature("sweep_log_volume", "log", "shares of the trades that follow one another within 50 ms, this one included"),
    Feature("sweep_return", "ratio", "price against the price before those"),
    # The last moves: the bounce between bid and ask.
    Feature("last_return", "ratio", "price against the previous trade's"),
    Feature("last_move", "sign", "direction of the last price change"),
    Feature("flips_20", "share", "changes of direction among the last 20 trades: the bid-ask bounce"),
    Feature("move_1", "steps", "last price change of the newest 64 trades"),
    Feature("move_2", "steps", "the price change before it"),
    Feature("move_3", "steps", "the price change before that"),
    Feature("move_4", "steps", "the price change before that"),
    Feature("run_trades", "log", "trades since the last price change, this one included"),
    Feature("run_log_volume", "log", "shares since the last price change"),
    Feature("since_change", "s", "time since the last price change of the newest 64 trades"),
    Feature("since_up", "s", "time since the last rise"),
    Feature("since_down", "s", "time since the last fall"),
    Feature("up_level", "steps", "price against the price that the last rise led to"),
    Feature("down_level", "steps", "price against the price that the last fall led to"),
    # The price against what it has been.
    Feature("return_3_trades", "ratio", "price against that of 3 trades ago"),
    Feature("return_5_trades", "ratio", "price against that of 5 trades ago"),
    Feature("return_10_trades", "ratio", "price against that of 10 trades ago"),
    Feature("return_20_trades", "ratio", "price against that of 20 trades ago"),
    Feature("return_60_trades", "ratio", "price against that of 60 trades ago"),
    Feature("sma_5_distance", "ratio", "price against the mean of the last 5 trades"),
    Feature("sma_10_distance", "ratio", "price against the mean of the last 10 trades"),
    Feature("sma_20_distance", "ratio", "price against the mean of the last 20 trades"),
    Feature("vwap_5_trades_distance", "ratio", "price against the volume-weighted price of the last 5 trades"),
    Feature("vwap_20_trades_distance", "ratio", "price against the volume-weighted price of the last 20 trades"),
    Feature("range_20", "steps", "highest less lowest price of the last 20 trades"),
    Feature("position_20", "share", "where in that range the price is: 0 lowest, 1 highest"),
    Feature("range_60", "steps", "highest less lowest price of the last 60 trades"),
    Feature("position_60", "share", "where in that range the price is"),
    Feature("ema_12_distance", "ratio", "price against the EMA-12 of minute closes"),
    Feature("rsi_14", "index", "Wilder's RSI-14 of minute closes, 0 to 100"),
    Feature("macd", "ratio", "MACD 12/26 of minute closes, by price"),
    Feature("macd_signal", "ratio", "its signal line (9), by price"),
    Feature("macd_histogram", "ratio", "their difference, by price"),
    Feature("volatility_20", "ratio", "standard deviation of the last 20 trades' returns"),
    Feature("carried_volatility", "ratio", "exponentially weighted mean of absolute returns, half-life 11 trades"),
    Feature("volume_z_20", "index", "volume in standard deviations above the mean of the last 20"),
    Feature("vwap_distance", "ratio", "price against the session's VWAP"),
    # Spans of time.
    *(
        Feature(f"return_{span}s", "ratio", f"price against the last price {span} s ago")
        for span in (5, 10, 20, 30, 60, 120, 300, 600)
    ),
    Feature("mean_60s_distance", "ratio", "price against the mean price of 60 s"),
    Feature("mean_300s_distance", "ratio", "price against the mean price of 300 s"),
    Feature("vwap_60s_distance", "ratio", "price against the volume-weighted price of 60 s"),
    Feature("vwap_300s_distance", "ratio", "price against the volume-weighted price of 300 s"),
    Feature("range_300s", "steps", "highest less lowest price of 300 s"),
    Feature("position_300s", "share", "where in that range the price is"),
    Feature("changes_60s", "log", "1 + price changes between the trades of 60 s"),
    Feature("changes_300s", "log", "1 + price changes between the trades of 300 s"),
    Feature("directness_60s", "share", "way from the first to the last price of 60 s, by the way gone"),
    Feature("directness_300s", "share", "way from the first to the last price of 300 s, by the way gone"),
    Feature("trades_10s", "log", "1 + trades of 10 s"),
    Feature("trades_60s", "log", "1 + trades of 60 s"),
    Feature("trades_300s", "log", "1 + trades of 300 s"),
    Feature("trade_rush", "share", "trades of 60 s by those of 300 s"),
    Feature("volume_60s", "log", "shares of 60 s"),
    Feature("volume_300s", "log", "shares of 300 s"),
    Feature("volume_rush", "share", "shares of 60 s by those of 300 s"),
    *(
        Feature(f"imbalance_{span}s", "share", f"signed by unsigned volume of {span} s")
        for span in (10, 30, 60, 120, 300)
    ),
    Feature("imbalance_5_trades", "share", "signed by unsigned volume of the last 5 trades"),
    Feature("imbalance_20_trades", "share", "signed by unsigned volume of the last 20 trades"),
    Feature("decayed_imbalance_20s", "share", "signed by unsigned volume, fading by 20 s"),
    Feature("decayed_imbalance_120s", "share", "signed by unsigned volume, fading by 120 s"),
    Feature("age", "s", "time since the previous trade"),
    Feature("duration_5", "log", "1 + seconds that the last 5 trades span"),
    Feature("duration_20", "log", "1 + seconds that the last 20 trades span"),
    # The session.
    Feature("trades_today", "log", "1 + trades of the session"),
    Feature("volume_today", "log", "shares of the session"),
    Feature("high_distance", "ratio", "price against the session's high"),
    Feature("low_distance", "ratio", "price against the session's low"),
    Feature("open_return", "ratio", "price against the session's first"),
    Feature("day_return", "ratio", "price against the previous close"),
    Feature("band_position", "share", "day return by the price band: -1 and 1 are its edges"),
    Feature("minute_of_session", "index", "minutes since the open"),
    Feature("tick_size", "ratio", "smallest price step by price"),
    Feature("rupee_part", "share", "what the price has beyond whole rupees"),
    Feature("ten_rupee_part", "share", "what the price has beyond whole tens of rupees, by ten"),
)

MARKET_SPANS_S = (10, 30, 60, 120, 300, 600)

_PER_SPAN = (
    ("breadth_{span}s", "share", "rising less falling symbols, by those that traded, over {span} s"),
    ("equal_return_{span}s", "ratio", "mean return of the symbols that traded, over {span} s"),
    ("clipped_return_{span}s", "ratio", "the same with each return clipped at 30 basis points, over {span} s"),
    ("turnover_return_{span}s", "ratio", "turnover-weighted return over {span} s"),
)

GROUP_SPANS_S = (30, 60, 120, 300)

_PER_GROUP_SPAN = (
    ("group_breadth_{span}s", "share", "breadth of the symbol's contract group over {span} s"),
    ("group_return_{span}s", "ratio", "mean clipped return of the symbol's contract group over {span} s"),
)

COMMON_FEATURES = (
    *(
        Feature(name.format(span=span), unit, meaning.format(span=span))
        for span in MARKET_SPANS_S
        for name, unit, meaning in _PER_SPAN
    ),
    Feature("last_moves", "share", "symbols whose last price change was a rise less those with a fall, of 60 s"),
    Feature("dispersion_60s", "ratio", "mean size of the clipped returns over 60 s"),
    Feature("active_60s", "share", "symbols that traded within 60 s, by all that traded today"),
    Feature("market_trades_10s", "log", "1 + trades of all symbols of 10 s"),
    Feature("market_trades_60s", "log", "1 + trades of all symbols of 60 s"),
    Feature("market_turnover_60s", "log", "1 + rupees of all symbols of 60 s"),
    Feature("index_return", "ratio", "the index, or its turnover-weighted proxy, against the session's reference"),
)
"""The same for all symbols."""

GROUP_FEATURES = tuple(
    Feature(name.format(span=span), unit, meaning.format(span=span))
    for span in GROUP_SPANS_S
    for name, unit, meaning in _PER_GROUP_SPAN
)
"""The same for all symbols of a contract group."""

MARKET_FEATURES = COMMON_FEATURES + GROUP_FEATURES

FEATURES = OWN_FEATURES + MARKET_FEATURES
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
OWN_COUNT = len(OWN_FEATURES)
MARKET_COUNT = len(MARKET_FEATURES)
FEATURE_COUNT = OWN_COUNT + MARKET_COUNT

NO_MARKET = np.full(MARKET_COUNT, np.nan, np.float32).tobytes()
"""The market's part for a trade that found no snapshot."""


def complete(packed: bytes, rows: int) -> Block:
    """The rows of a batch.

    Args:
        packed: `rows` times a symbol's own part and the market's part, float32, one row behind the other.
        rows: Number of rows.

    Returns:
        Shape (rows, FEATURE_COUNT), float32.
    """
    return np.frombuffer(packed, np.float32).reshape(rows, FEATURE_COUNT)


def _schema_hash() -> str:
    text = "\n".join(f"{feature.name}|{feature.unit}|{feature.meaning}" for feature in FEATURES)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


SCHEMA_HASH = _schema_hash()
"""Changes with every name, unit, meaning or order: a model made for another schema is refused."""
