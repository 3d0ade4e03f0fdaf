"""Rows of the whole feature schema, put together from what travels apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.features import OWN_COUNT
from state.market_state import block_length, market_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray


def feature_block(packed: bytes, snapshots: bytes, rows: int, group_count: int) -> NDArray[np.float32]:
    """Rows of the whole feature schema.

    Args:
        packed: `rows` times a symbol's own features and its contract group, float32, one row behind the other.
        snapshots: `rows` market blocks, one behind the other.
        rows: Number of ticks.
        group_count: Contract groups of the market.

    Returns:
        Shape (rows, FEATURE_COUNT), float32.
    """
    own = np.frombuffer(packed, np.float32).reshape(rows, OWN_COUNT + 1)
    market = np.frombuffer(snapshots, np.float32).reshape(rows, block_length(group_count))
    groups = own[:, OWN_COUNT].astype(np.intp)
    return np.hstack((own[:, :OWN_COUNT], market_columns(market, groups, group_count)))


def no_snapshot(group_count: int) -> bytes:
    """The market block of a tick that found no snapshot: nothing is known."""
    return np.full(block_length(group_count), np.nan, np.float32).tobytes()
