"""What goes wrong between an exchange and its readers: repeated, late and malformed messages."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np

from state.tick import encode_tick

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from feeds.simulator.universe import Array
    from state.tick import Tick

    Damage = Callable[[Tick], bytes]

LATE_MS = (25_000, 60_000)
"""How far the market is ahead when a late tick arrives at last."""
_REPEATED_AFTER = 40
"""A repeated tick follows the first one within so many messages."""


@dataclass(frozen=True)
class Faults:
    """How many messages of each kind a simulated feed gets wrong.

    Attributes:
        duplicates: Ticks sent twice, with the same trade id.
        late: Ticks that arrive far out of order; far fewer than a day has minutes.
        malformed: Messages that are no ticks, besides the day's trades.
    """

    duplicates: int = 0
    late: int = 0
    malformed: int = 0


_DAMAGE: tuple[Damage, ...] = (
    lambda tick: encode_tick(tick)[:-7],  # cut off on the way
    lambda tick: encode_tick(tick._replace(price=-tick.price)),
    lambda tick: encode_tick(tick).replace(b'"price"', b'"rate"'),
    lambda tick: encode_tick(tick._replace(volume=str(tick.volume))),  # type: ignore[arg-type]
    lambda tick: encode_tick(tick._replace(symbol=tick.symbol.lower() + "?")),
    lambda tick: encode_tick(tick).replace(b'":"', b'":"\xe9'),  # Latin-1, not UTF-8
    lambda _: b"",
)
"""The ways in which a message is malformed, used in turn."""


def held_back(trades: pd.DataFrame, count: int, random: np.random.Generator) -> pd.DataFrame:
    """The trades with so many of them moved to where they arrive late.

    Raises:
        ValueError: If the day has not so many trades that can be late.
    """
    if not count:
        return trades
    newest = np.maximum.accumulate(trades["event_time"].to_numpy())
    delays = random.integers(*LATE_MS, size=len(trades))
    place = np.searchsorted(newest, trades["event_time"].to_numpy() + delays)
    # Not across a break of the market, and not beyond its end: there a tick would be hours late, or in time.
    arrives_at = newest[np.minimum(place, len(trades) - 1)]
    candidates = np.flatnonzero(
        (place < len(trades)) & (arrives_at - trades["event_time"].to_numpy() <= 2 * LATE_MS[1])
    )
    if len(candidates) < count:
        raise ValueError(
            f"only {len(candidates)} trades of this day can be late; ask for fewer late ticks than {count}"
        )
    chosen = random.choice(candidates, size=count, replace=False)
    order = np.arange(len(trades), dtype=float)
    order[chosen] = place[chosen] + 0.5
    return trades.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def repeated_at(trades: int, count: int, random: np.random.Generator) -> dict[int, list[int]]:
    """Which trades to send again: for the place of a message, the places of the earlier ones that follow it."""
    originals = _places(trades, count, random)
    again = np.minimum(originals + random.integers(0, _REPEATED_AFTER, size=len(originals)), trades - 1)
    result: dict[int, list[int]] = {}
    for place, original in zip(again.tolist(), originals.tolist(), strict=True):
        result.setdefault(place, []).append(original)
    return result


def malformed_at(trades: int, count: int, random: np.random.Generator) -> dict[int, list[Damage]]:
    """Where malformed messages go: for the place of a tick, what makes the ones that follow it out of it."""
    result: dict[int, list[Damage]] = {}
    for place, damage in zip(_places(trades, count, random).tolist(), islice(cycle(_DAMAGE), count), strict=True):
        result.setdefault(place, []).append(damage)
    return result


def _places(trades: int, count: int, random: np.random.Generator) -> Array:
    if count > trades:
        raise ValueError(f"a day of {trades} trades has no room for {count} faults of one kind")
    places: Array = np.sort(random.choice(trades, size=count, replace=False))
    return places
