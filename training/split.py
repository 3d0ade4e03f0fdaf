"""Which days grow the trees, which tune them, which test them: always in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from training.days import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Day = TypeVar("_Day")
_TUNING_SHARE = 10
"""One day of so many, the latest ones, tunes."""


def split_days(days: Sequence[_Day]) -> tuple[Sequence[_Day], Sequence[_Day]]:
    """Cuts days, in order of time, into those of the fit and the later ones for tuning.

    Raises:
        DataError: If there are fewer than two days.
    """
    if len(days) < 2:  # noqa: PLR2004 - one of each kind
        raise DataError(f"training needs at least two days, one to grow trees and a later one to tune; got {len(days)}")
    tuning = max(1, round(len(days) / _TUNING_SHARE))
    return days[:-tuning], days[-tuning:]


def walk_forward(days: Sequence[_Day], folds: int) -> Iterator[tuple[Sequence[_Day], Sequence[_Day]]]:
    """Days seen and days unseen of each step of an expanding walk forward.

    The days are cut into one part more than there are folds, of equal length but for the first,
    which takes the rest. Each part but the first is tested once, with all parts before it seen.

    Raises:
        DataError: If the first step would have fewer than two days to train on.
    """
    length = len(days) // (folds + 1)
    first = len(days) - folds * length
    if not length or first < 2:  # noqa: PLR2004 - what split_days needs
        raise DataError(f"{len(days)} days are too few for a walk forward of {folds} steps")
    for start in range(first, len(days), length):
        yield days[:start], days[start : start + length]
