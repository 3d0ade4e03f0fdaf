"""What outcomes say of a model version, added up batch by batch beside the scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.drift import DriftBaseline
from state.quality_watch import MINUTE_MS, Part
from state.sparse import Sparse
from state.tally import tally_rows
from udfs.artifact import ArtifactError, load_manifest
from udfs.manifest import BREADTH, CLASSES, LAST_MOVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from udfs.manifest import Manifest

_NOTHING = Sparse(np.empty(0, np.uint16), np.empty(0, np.int64))
_CLASS_NUMBERS = {name: number for number, name in enumerate(CLASSES)}


class Observer:
    """Adds up what the outcomes of one model version give its score and its drift.

    Each prediction has one outcome, made of the same features: what drifts is counted with it.

    Args:
        manifest: The version's.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._version = manifest.version
        self._rates = manifest.rates
        self._last_move, self._breadth = (manifest.feature_names.index(name) for name in (LAST_MOVE, BREADTH))
        self._baseline = drift_baseline(manifest)

    def observe(
        self,
        role: str,
        block: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        event_times: Sequence[int],
        realised: Sequence[str],
    ) -> Iterator[Part]:
        """What some outcomes add, minute by minute.

        Args:
            role: `active` or `shadow`.
            block: Unscaled features of the predicted trades, shape (trades, features).
            scores: What was said of them, shape (trades, 3).
            event_times: Their times, ms.
            realised: What came: `up`, `flat` or `down`.
        """
        came = np.array([_CLASS_NUMBERS[name] for name in realised], np.int8)
        naive = self._rates.forecasts(block[:, self._last_move], block[:, self._breadth])
        minutes = np.array(event_times, np.int64) // MINUTE_MS
        for minute in set(minutes.tolist()):
            rows = minutes == minute
            tally = tally_rows(scores[rows], came[rows], naive[rows])
            counts = _NOTHING
            if self._baseline is not None:
                counts = Sparse.of(self._baseline.counts(block[rows], scores[rows, 0]).reshape(-1))
            yield Part(self._version, role, minute, int(rows.sum()), Sparse.of(tally), counts)


class Observers:
    """Makes the observers of model versions, each once.

    Args:
        directory: Folder of the model versions.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[str, Observer] = {}

    def __call__(self, version: str) -> Observer:
        """The observer of a version.

        Raises:
            ArtifactError: If there is no such version.
        """
        found = self._made.get(version)
        if found is None:
            found = self._made[version] = Observer(load_manifest(self._directory, version))
        return found


class DriftBaselines:
    """Reads the drift baselines of model versions.

    Args:
        directory: Folder of the model versions.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, version: str) -> DriftBaseline | None:
        """The baseline of a version; None where it has none, or the version is not there any more."""
        try:
            return drift_baseline(load_manifest(self._directory, version))
        except ArtifactError:
            return None


def drift_baseline(manifest: Manifest) -> DriftBaseline | None:
    """How features and P(up) were distributed in a version's training; None where the manifest does not say it."""
    if not manifest.drift_baseline:
        return None
    return DriftBaseline(manifest.drift_baseline, manifest.feature_names)
