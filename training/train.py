"""From days of examples to a model version with everything that is said about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from training.drift import drift_baseline
from training.evaluate import evaluate, score_day
from training.fit import FitSettings, fit
from training.split import split_days, walk_forward
from udfs.artifact import Artifact
from udfs.manifest import CLASSES, Calibration, Manifest, TrainingWindow
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from training.examples import DayExamples


class Features(NamedTuple):
    """What the columns of the examples are.

    Attributes:
        names: Names of the columns, in order.
        schema: Hash of their names and definitions.
    """

    names: tuple[str, ...]
    schema: str


def train(
    days: Sequence[DayExamples],
    features: Features,
    version: str,
    settings: FitSettings,
    *,
    git_revision: str | None = None,
    on_round: Callable[[], None] = lambda: None,
) -> Artifact:
    """Trains a version: grows on the earlier days, tunes and measures on the latest.

    Args:
        days: At least two days, in order of time.
        features: Their columns.
        version: Name of the new version.
        settings: How to grow.
        git_revision: Revision of the code that computed the features.
        on_round: Called after each round of boosting.

    Returns:
        The version, not yet written.

    Raises:
        DataError: If there are fewer than two days.
    """
    fit_days, tuning_days = split_days(days)
    fitted = fit(fit_days, tuning_days, settings, on_round)
    manifest = Manifest(
        version=version,
        created=datetime.now(UTC).replace(microsecond=0),
        files={},
        feature_names=features.names,
        feature_schema=features.schema,
        classes=CLASSES,
        training_window=TrainingWindow(
            first_day=days[0].day.isoformat(),
            last_day=days[-1].day.isoformat(),
            fit_days=tuple(day.day.isoformat() for day in fit_days),
            tuning_days=tuple(day.day.isoformat() for day in tuning_days),
            trades=sum(map(len, days)),
        ),
        calibration=Calibration(temperature=fitted.temperature),
        parameters=settings.parameters() | {"rounds": fitted.booster.num_boosted_rounds()},
        metrics={},
        drift_baseline={},
        git_revision=git_revision,
    )
    artifact = Artifact(fitted.booster, fitted.scaler, manifest)
    said = np.concatenate([score_day(Scorer(artifact), day) for day in tuning_days])
    known = {
        "metrics": {"tuning_days": evaluate(artifact, tuning_days)},
        "drift_baseline": drift_baseline(fit_days, features.names, said),
    }
    return Artifact(fitted.booster, fitted.scaler, manifest.model_copy(update=known))


def measure_walk_forward(
    days: Sequence[DayExamples], features: Features, settings: FitSettings, folds: int
) -> Iterator[dict[str, Any]]:
    """Trains again and again on an expanding past and measures each time on the days that follow.

    Args:
        days: Days in order of time.
        features: Their columns.
        settings: How to grow.
        folds: Number of steps.

    Yields:
        For each step the measures of :func:`training.evaluate.evaluate` on days its version has not
        seen, and under `seen` the last day it has.

    Raises:
        DataError: If there are too few days.
    """
    for seen, unseen in walk_forward(days, folds):
        artifact = train(seen, features, "fold", settings)
        yield {"seen": seen[-1].day.isoformat()} | evaluate(artifact, unseen)
