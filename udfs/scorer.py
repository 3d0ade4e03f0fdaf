"""Rows of features to probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from udfs.forest import Forest

if TYPE_CHECKING:
    import numpy.typing as npt

    from udfs.artifact import Artifact


class Scorer:
    """Scores blocks with one model version, on the calling thread alone.

    A row's probabilities do not depend on the rows beside it, bit for bit: which ticks share a
    batch is an accident of timing.

    Args:
        artifact: The model version.
        walks: Whether compiled code walks the trees (:mod:`udfs.forest`), where its sums are XGBoost's to the last bit;
            else XGBoost itself is asked.
    """

    def __init__(self, artifact: Artifact, *, walks: bool = True) -> None:
        self.version = artifact.manifest.version
        self.features = len(artifact.manifest.feature_names)
        self._booster = artifact.booster
        self._booster.set_param({"nthread": 1})
        self._scaler = artifact.scaler
        self._forest = Forest.of(artifact.booster, artifact.scaler) if walks else None
        self._temperature = artifact.manifest.calibration.temperature

    def warm_up(self) -> None:
        """Makes the first call, the one that takes tens of milliseconds, before the first tick does."""
        self.score(np.zeros((1, self.features), dtype=np.float32))

    def score(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Probabilities of up, flat and down within the minute.

        Args:
            block: Unscaled features, shape (rows, features), float32; NaN is a missing value.

        Returns:
            Shape (rows, 3), in the order of :data:`udfs.manifest.CLASSES`; each row sums to 1 up to rounding.

        Raises:
            ValueError: If the block has another shape or type.
        """
        if block.ndim != 2 or block.shape[1] != self.features or block.dtype != np.float32:  # noqa: PLR2004
            found = f"{block.dtype} of shape {block.shape}"
            raise ValueError(f"a block of features must be float32 of shape (rows, {self.features}), not {found}")
        return probabilities(self.margins(block), self._temperature)

    def margins(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The trees' raw sums, shape (rows, 3), before temperature and softmax."""
        if self._forest is not None:
            return self._forest.margins(block)
        if not len(block):
            return np.empty((0, 3), dtype=np.float32)
        scaled = self._scaler.transform(block)
        margins: npt.NDArray[np.float32] = self._booster.inplace_predict(
            scaled, predict_type="margin", validate_features=False
        )
        return margins


def probabilities(margins: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    """Softmax of margins divided by the temperature, shape (rows, 3).

    It is taken in double precision and rounded once: NumPy's single-precision exponential differs
    in its last digit between processors.
    """
    powers = margins.astype(np.float64)
    powers -= powers.max(axis=1, keepdims=True)
    powers /= temperature
    np.exp(powers, out=powers)
    powers /= (powers[:, 0] + powers[:, 1] + powers[:, 2])[:, np.newaxis]
    return powers.astype(np.float32)
