from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.examples import DayExamples
from training.fit import FitSettings

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def quick() -> FitSettings:
    return FitSettings(rounds=15, max_depth=3, min_child_weight=5.0, threads=1)


@pytest.fixture
def day_of() -> Callable[..., DayExamples]:
    """Days, by number, on which the first feature, in large units, tells the direction; the second has gaps."""

    def make(number: int, trades: int = 600, noise: float = 0.3) -> DayExamples:
        random = np.random.default_rng(number)
        signal = random.normal(size=trades)
        labels = np.digitize(-signal + random.normal(scale=noise, size=trades), [-0.4, 0.4]).astype(np.int8)
        features = np.column_stack([1000.0 + 50.0 * signal, np.sign(signal), np.full(trades, 7.0)])
        features[::10, 1] = np.nan
        return DayExamples(
            day=date(2024, 6, 2) + timedelta(days=number),
            features=features.astype(np.float32),
            labels=labels,
            event_times=np.arange(trades) * 1000,
            symbols=np.full(trades, "NABIL"),
            volumes=np.full(trades, 10),
        )

    return make
