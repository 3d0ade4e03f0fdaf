"""A symbol's recent trades in event-time order, in its memory's columns.

A trade that arrives behind newer ones is put in its place (after those of its own millisecond). Sums are of whole
numbers, hence exact and the same however the window came about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from state import memory as at
from state.compiled import compiled
from state.window import KEEP_TICKS, MAX_TICKS, SPANS_S

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SPANS_MS = tuple(span * 1000 for span in SPANS_S)
_LONGEST = len(SPANS_S) - 1
_LARGEST_TURNOVER = 2**52
"""Of one trade, in 1/10,000 rupee: half a billion million rupees. A larger one counts as it in the window's sums."""


@compiled
def column(memory: NDArray[np.int64], number: int) -> int:
    """First word of a column."""
    return memory[at.COLUMNS] + number * (memory[at.CAPACITY] + 1)  # type: ignore[no-any-return]


@compiled
def sum_up_from(memory: NDArray[np.int64], first: int) -> None:
    """Makes signs and sums anew from one trade on."""
    head, tail = memory[at.HEAD], memory[at.TAIL]
    prices, volumes, signs = column(memory, at.PRICES), column(memory, at.VOLUMES), column(memory, at.SIGNS)
    volume_sums, signed_sums = column(memory, at.VOLUME_SUMS), column(memory, at.SIGNED_SUMS)
    price_sums, turnover_sums = column(memory, at.PRICE_SUMS), column(memory, at.TURNOVER_SUMS)
    change_sums, path_sums = column(memory, at.CHANGE_SUMS), column(memory, at.PATH_SUMS)
    if first == head:
        for sums in (volume_sums, signed_sums, price_sums, turnover_sums, change_sums, path_sums):
            memory[sums + head] = 0
    for i in range(first, tail):
        price, volume = memory[prices + i], memory[volumes + i]
        sign, move = memory[at.FIRST_SIGN], 0
        if i > head:
            move = price - memory[prices + i - 1]
            sign = 1 if move > 0 else -1 if move < 0 else memory[signs + i - 1]
        turnover = price * volume if float(price) * float(volume) < float(_LARGEST_TURNOVER) else _LARGEST_TURNOVER
        memory[signs + i] = sign
        memory[volume_sums + i + 1] = memory[volume_sums + i] + volume
        memory[signed_sums + i + 1] = memory[signed_sums + i] + sign * volume
        memory[price_sums + i + 1] = memory[price_sums + i] + price
        memory[turnover_sums + i + 1] = memory[turnover_sums + i] + turnover
        memory[change_sums + i + 1] = memory[change_sums + i] + (1 if move != 0 else 0)
        memory[path_sums + i + 1] = memory[path_sums + i] + abs(move)


@compiled
def _let_go(memory: NDArray[np.int64]) -> None:
    """Drops what neither the longest span nor the newest 64 need, and what a crowded window has no room for."""
    head, tail = memory[at.HEAD], memory[at.TAIL]
    # The trade just before the longest span stays: a return over the span is measured from it.
    surplus = min(memory[at.STARTS + _LONGEST] - 1 - head, tail - head - KEEP_TICKS)
    drop = max(surplus, tail - head - MAX_TICKS)
    if drop <= 0:
        return
    head += drop
    memory[at.HEAD] = head
    memory[at.FIRST_SIGN] = memory[column(memory, at.SIGNS) + head]
    for k in range(len(_SPANS_MS)):
        memory[at.STARTS + k] = max(memory[at.STARTS + k], head)


@compiled
def add_to_window(memory: NDArray[np.int64], time: int, price: int, volume: int) -> int:
    """Puts a trade in its place and lets go of what the window no longer needs.

    Returns:
        The trade's index in the columns.
    """
    head, tail = memory[at.HEAD], memory[at.TAIL]
    times = column(memory, at.TIMES)
    place = tail
    while place > head and memory[times + place - 1] > time:
        place -= 1
    if place < tail:
        for number in (at.TIMES, at.PRICES, at.VOLUMES):
            first = column(memory, number)
            for i in range(tail, place, -1):
                memory[first + i] = memory[first + i - 1]
    memory[times + place] = time
    memory[column(memory, at.PRICES) + place] = price
    memory[column(memory, at.VOLUMES) + place] = volume
    memory[at.TAIL] = tail + 1
    if place == head:
        memory[at.FIRST_SIGN] = 0
    sum_up_from(memory, place)
    newest = memory[times + tail]
    for k in range(len(_SPANS_MS)):
        edge = newest - _SPANS_MS[k]
        i = memory[at.STARTS + k] if place == tail else head
        while memory[times + i] <= edge:
            i += 1
        memory[at.STARTS + k] = i
    _let_go(memory)
    return place  # type: ignore[no-any-return]


@compiled
def make_room(memory: NDArray[np.int64]) -> bool:
    """Moves the window to the front of its columns where it has reached their end.

    Returns:
        Whether there is no room for one more trade even so.
    """
    head, tail, capacity = memory[at.HEAD], memory[at.TAIL], memory[at.CAPACITY]
    if tail < capacity:
        return False
    if head < capacity // 4:
        return True
    for number in range(at.PATH_SUMS + 1):
        first = column(memory, number)
        for i in range(head, tail + 1):
            memory[first + i - head] = memory[first + i]
    memory[at.HEAD] = 0
    memory[at.TAIL] = tail - head
    for k in range(len(_SPANS_MS)):
        memory[at.STARTS + k] -= head
    return False
