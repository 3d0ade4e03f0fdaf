"""Memories of symbols: made, made larger, packed into bytes and unpacked. See :mod:`state.memory` for their layout."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

import numpy as np

from state import memory as at
from state.symbol_kernel import make_sums
from state.window import PRICE_UNITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from state.rules import MarketRules

    Words = NDArray[np.int64]


def new_memory(rules: MarketRules, capacity: int) -> Words:
    """A memory with the rules in it, and room for so many trades in its window."""
    alerts, grid = rules.alerts, rules.price_grid
    columns = at.RANGES + 2 * alerts.breakout.minutes
    memory = np.zeros(columns + at.COLUMN_COUNT * (capacity + 1), np.int64)
    floats = memory.view(np.float64)
    memory[at.CAPACITY], memory[at.COLUMNS] = capacity, columns
    memory[at.COARSE_UNITS] = round(grid.coarse * PRICE_UNITS)
    floats[at.COARSE], floats[at.FINE] = grid.coarse, grid.fine
    floats[at.BAND] = nan
    memory[at.BREAKOUT_MINUTES] = alerts.breakout.minutes
    memory[at.BREAKOUT_COOLDOWN] = int(alerts.breakout.cooldown_s * 1000)
    floats[at.SPIKE_RATIO] = alerts.volatility_spike.ratio
    memory[at.SPIKE_TICKS] = alerts.volatility_spike.min_ticks
    memory[at.SPIKE_COOLDOWN] = int(alerts.volatility_spike.cooldown_s * 1000)
    floats[at.BURST_Z] = alerts.volume_spike.z_score
    memory[at.BURST_TICKS] = alerts.volume_spike.min_ticks
    memory[at.BURST_COOLDOWN] = int(alerts.volume_spike.cooldown_s * 1000)
    return memory


def larger_memory(memory: Words, rules: MarketRules) -> Words:
    """The same memory with twice the room."""
    columns, room = int(memory[at.COLUMNS]), int(memory[at.CAPACITY])
    larger = new_memory(rules, 2 * room)
    larger[:columns] = memory[:columns]
    larger[at.CAPACITY] = 2 * room
    old = memory[columns:].reshape(at.COLUMN_COUNT, room + 1)
    larger[columns:].reshape(at.COLUMN_COUNT, 2 * room + 1)[:, : room + 1] = old
    return larger


def pack(memory: Words) -> bytes:
    """All that can't be made anew: the same for memories that hold the same, however much room they have."""
    head, tail = int(memory[at.HEAD]), int(memory[at.TAIL])
    scalars = memory[: at.DUMPED].copy()
    scalars[at.STARTS : at.DUMPED] -= head
    scalars[at.HEAD], scalars[at.TAIL], scalars[at.CAPACITY], scalars[at.COLUMNS] = 0, tail - head, 0, 0
    parts = [scalars, memory[at.RANGES : memory[at.COLUMNS]]]
    for number in at.KEPT_COLUMNS:
        first = _first_word(memory, number)
        parts.append(memory[first + head : first + tail])
    return bytes(np.concatenate(parts).data)


def unpack(packed: bytes, rules: MarketRules) -> Words:
    """The memory whose bytes :func:`pack` gave."""
    kept = np.frombuffer(packed, np.int64)
    length = int(kept[at.TAIL])
    capacity = FIRST_ROOM
    while capacity <= length:
        capacity *= 2
    memory = new_memory(rules, capacity)
    columns = int(memory[at.COLUMNS])
    ranges = columns - at.RANGES
    memory[: at.DUMPED] = kept[: at.DUMPED]
    memory[at.CAPACITY], memory[at.COLUMNS] = capacity, columns
    memory[at.RANGES : columns] = kept[at.DUMPED : at.DUMPED + ranges]
    window = kept[at.DUMPED + ranges :].reshape(len(at.KEPT_COLUMNS), length)
    for number, column in zip(at.KEPT_COLUMNS, window, strict=True):
        first = _first_word(memory, number)
        memory[first : first + length] = column
    make_sums(memory)
    return memory


def _first_word(memory: Words, number: int) -> int:
    return int(memory[at.COLUMNS]) + number * (int(memory[at.CAPACITY]) + 1)


FIRST_ROOM = 100
"""Trades that a new symbol's window has room for: most symbols never need more."""
