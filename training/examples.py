"""One trading day's examples: what the model saw at each trade, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


@dataclass(frozen=True)
class DayExamples:
    """Examples of one day, one row per trade, in the order of arrival.

    Attributes:
        day: The trading day.
        features: Unscaled features, float32, shape (trades, features); may lie on disk.
        labels: Index of each trade's class, int8.
        event_times: Time of each trade, ms since the epoch, int64.
        symbols: Symbol of each trade, fixed-width text.
        volumes: Shares of each trade, int64.
    """

    day: date
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8]
    event_times: npt.NDArray[np.int64]
    symbols: npt.NDArray[np.str_]
    volumes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def save(self, directory: Path) -> Path:
        """Writes the day into a folder of its own and returns that folder."""
        folder = directory / self.day.isoformat()
        folder.mkdir(parents=True)
        for name in _COLUMNS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        return folder

    @classmethod
    def load(cls, folder: Path) -> DayExamples:
        """A day as it was saved; its columns stay on disk until they are read."""
        columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _COLUMNS}
        return cls(day=date.fromisoformat(folder.name), **columns)


_COLUMNS = [field.name for field in fields(DayExamples) if field.name != "day"]
