"""What is written beside a model's trees: the scaling of its features and all that is said about the version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from datetime import date

    import numpy.typing as npt

CLASSES = ("up", "flat", "down")
"""What a price can do within its minute, in the order of the model's classes and of every probability row."""


LAST_MOVE = "last_move"
"""Feature with the direction of the last price change."""
BREADTH = "breadth_60s"
"""Feature with the market's breadth over 60 s."""


class Document(BaseModel):
    """A JSON file of a version; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scaler(Document):
    """Standard scaling, feature by feature: (x - mean) / scale; a missing value (NaN) stays missing.

    Attributes:
        mean: Mean of each feature over the days of the fit, in the feature's unit.
        scale: Standard deviation of each feature over them; 1 for a feature that never varied.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def transform(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scales a block of float32 rows, shape (rows, features), into a new block of the same shape."""
        scaled: npt.NDArray[np.float32] = np.subtract(block, np.array(self.mean, dtype=np.float32))
        return np.divide(scaled, np.array(self.scale, dtype=np.float32), out=scaled)


class TrainingWindow(Document):
    """The days a version has seen, as ISO dates.

    Attributes:
        first_day: Earliest day seen.
        last_day: Latest day seen, be it for the trees, for early stopping or for calibration.
        fit_days: Days the trees were grown on.
        tuning_days: Later days that stopped the growing and set the temperature.
        trades: Number of trades of all those days.
    """

    first_day: str
    last_day: str
    fit_days: tuple[str, ...]
    tuning_days: tuple[str, ...]
    trades: int

    def contains(self, day: date) -> bool:
        """Whether a day lies between the first and the last day seen."""
        return self.first_day <= day.isoformat() <= self.last_day


class Calibration(Document):
    """Temperature scaling of the margins (Guo et al., "On calibration of modern neural networks", 2017)."""

    temperature: float = Field(gt=0)


class NaiveRates(Document):
    """What forecasts without a model know of the days of the fit.

    Attributes:
        classes: Share of each outcome, in the order of :data:`CLASSES`.
        up_after_fall: Share of rises among the trades that moved, where the last price change before was a fall.
        up_after_none: The same where there was none.
        up_after_rise: The same where it was a rise.
    """

    classes: tuple[float, float, float]
    up_after_fall: float = Field(ge=0, le=1)
    up_after_none: float = Field(ge=0, le=1)
    up_after_rise: float = Field(ge=0, le=1)

    @property
    def up(self) -> float:
        """Share of rises among the trades that moved."""
        up, _, down = self.classes
        return up / (up + down) if up + down else 0.5

    def forecasts(
        self, last_moves: npt.NDArray[np.floating[Any]], breadths: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.float64]:
        """P(up) against down as the rules of :data:`state.tally.NAIVE_RULES` say it.

        Args:
            last_moves: Direction of the symbols' last price changes, these trades included, shape (trades,); NaN:
                unknown.
            breadths: The market's breadth over 60 s; NaN: unknown.

        Returns:
            Shape (trades, 3).
        """
        after = np.array([self.up_after_fall, self.up_after_none, self.up_after_rise])
        said = np.empty((len(last_moves), 3))
        said[:, 0] = self.up
        said[:, 1] = after[directions(last_moves)]
        said[:, 2] = directions(breadths) / 2.0
        return said


def directions(moves: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.intp]:
    """0 for a fall, 1 for none or an unknown one, 2 for a rise."""
    found: npt.NDArray[np.intp] = np.sign(np.nan_to_num(moves)).astype(np.intp) + 1
    return found


class FileEntry(Document):
    """What a file of the version must be."""

    sha256: str
    bytes: int


class Manifest(Document):
    """All that is said about a version.

    Attributes:
        version: The version's name.
        created: When it was written.
        files: Name of each other file, with its hash and size.
        feature_names: The features in the order of the model's columns.
        feature_schema: Hash of the features' names and definitions.
        classes: The order of the probabilities.
        training_window: The days it has seen.
        calibration: How margins become probabilities.
        parameters: The trees' hyperparameters, the random seed among them.
        metrics: Measures as :func:`training.evaluate.evaluate` gives them: `tuning_days`, by trees that had
            not seen them (those kept have), and `walk_forward` where it was measured.
        drift_baseline: How features and probabilities were distributed, to compare the live ones with.
        naive_rates: What forecasts without a model know; None in versions from before it was kept, see :attr:`rates`.
        git_revision: Revision of the code that trained it, where known.
    """

    version: str
    created: AwareDatetime
    files: dict[str, FileEntry]
    feature_names: tuple[str, ...]
    feature_schema: str
    classes: tuple[str, ...]
    training_window: TrainingWindow
    calibration: Calibration
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    drift_baseline: dict[str, Any]
    naive_rates: NaiveRates | None = None
    git_revision: str | None = None

    @property
    def rates(self) -> NaiveRates:
        """What forecasts without a model know; of a version that does not say it: the last move goes on as it was."""
        if self.naive_rates is not None:
            return self.naive_rates
        shares = self.drift_baseline.get("labels") or {"up": 0.25, "flat": 0.5, "down": 0.25}
        classes = shares["up"], shares["flat"], shares["down"]
        return NaiveRates(classes=classes, up_after_fall=0.0, up_after_none=0.5, up_after_rise=1.0)
