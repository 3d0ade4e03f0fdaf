"""How sure measures are: intervals by drawing days anew, since trades of one day say the same thing many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from state.tally import measures, tally_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Tally = npt.NDArray[np.int64]

LEVEL = 0.95
RESAMPLES = 1000
_SEED = 1


def day_intervals(
    probabilities: Sequence[npt.NDArray[np.float32]], labels: Sequence[npt.NDArray[np.int8]]
) -> dict[str, Any] | None:
    """Percentile intervals of all measures by a bootstrap over days, with a fixed seed.

    Args:
        probabilities: What was said, day by day, shape (trades, 3) each.
        labels: What came, day by day.

    Returns:
        `level`, `resamples`, and under the names of the measures [lower, upper]; None where there are fewer than two
        days, of which nothing can be said.
    """
    if len(labels) < 2:  # noqa: PLR2004 - days to draw from
        return None
    tallies = np.array([tally_rows(said, came) for said, came in zip(probabilities, labels, strict=True)])
    random = np.random.default_rng(_SEED)
    weights = random.multinomial(len(tallies), np.full(len(tallies), 1 / len(tallies)), size=RESAMPLES)
    drawn = [dict(_leaves(measures(weight @ tallies))) for weight in weights]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    intervals: dict[str, Any] = {"level": LEVEL, "resamples": RESAMPLES}
    for group, name in drawn[0]:
        values = np.array([one[group, name] for one in drawn])
        known = values[~np.isnan(values)]
        interval = np.quantile(known, tails).tolist() if len(known) else None
        if group:
            intervals.setdefault(group, {})[name] = interval
        else:
            intervals[name] = interval
    return intervals


def _leaves(measured: dict[str, Any]) -> Iterator[tuple[tuple[str, str], float]]:
    """Every measure with its group and name, without the counts."""
    yield ("", "ece_p_up"), measured["ece_p_up"]
    for group in ("non_flat", "three_class"):
        for name, value in measured[group].items():
            if name != "trades":
                yield (group, name), value
