"""From days of examples to a model version with everything that is said about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from training.drift import drift_baseline
from training.evaluate import describe, score_day
from training.fit import Fit, FitSettings, fit, refit
from training.naive import naive_rates
from training.split import split_days, walk_forward
from udfs.artifact import Artifact
from udfs.manifest import CLASSES, Calibration, Manifest, TrainingWindow
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from zoneinfo import ZoneInfo

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
    zone: ZoneInfo,
    *,
    git_revision: str | None = None,
    on_round: Callable[[], None] = lambda: None,
) -> Artifact:
    """Trains a version: grows on the earlier days, tunes and measures on the latest, then grows anew on all of them.

    The measures are those of the first growing: the trees that are kept have seen every day there is.

    Args:
        days: At least two days, in order of time.
        features: Their columns.
        version: Name of the new version.
        settings: How to grow.
        zone: The exchange's time zone.
        git_revision: Revision of the code that computed the features.
        on_round: Called after each round of boosting.

    Returns:
        The version, not yet written.

    Raises:
        DataError: If there are fewer than two days.
    """
    fit_days, tuning_days = split_days(days)
    grown = grow(days, features, version, settings, on_round)
    scorer = Scorer(grown)
    said = [score_day(scorer, day) for day in tuning_days]
    manifest = grown.manifest.model_copy(
        update={"drift_baseline": drift_baseline(fit_days, features.names, said), "git_revision": git_revision}
    )
    metrics = {"tuning_days": describe(manifest, tuning_days, said, zone)}
    kept = refit(Fit(grown.booster, grown.scaler, manifest.calibration.temperature), days, settings)
    return Artifact(kept.booster, kept.scaler, manifest.model_copy(update={"metrics": metrics}))


def measure_walk_forward(
    days: Sequence[DayExamples],
    features: Features,
    settings: FitSettings,
    folds: int,
    zone: ZoneInfo,
    on_round: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Trains again and again on an expanding past and measures each time on the days that follow.

    Args:
        days: Days in order of time.
        features: Their columns.
        settings: How to grow.
        folds: Number of steps.
        zone: The exchange's time zone.
        on_round: Called after each round of boosting of each step.

    Returns:
        The measures of :func:`training.evaluate.describe` over the days of all steps together, each said by a version
        that had seen only days before (the naive rules: only those before the first step); `steps`: the last day
        that each step's version had seen, and the first and last one that it was measured on.

    Raises:
        DataError: If there are too few days.
    """
    steps: list[dict[str, str]] = []
    tested: list[DayExamples] = []
    scores = []
    naive: Manifest | None = None
    for seen, unseen in walk_forward(days, folds):
        grown = grow(seen, features, "fold", settings, on_round)
        naive = naive or grown.manifest
        scorer = Scorer(grown)
        scores += [score_day(scorer, day) for day in unseen]
        tested += unseen
        last_seen, first_tested, last_tested = (day.day.isoformat() for day in (seen[-1], unseen[0], unseen[-1]))
        steps.append({"seen": last_seen, "first_day": first_tested, "last_day": last_tested})
    if naive is None:
        raise ValueError("a walk forward has at least one step")
    return {"steps": steps} | describe(naive, tested, scores, zone)


def grow(
    days: Sequence[DayExamples],
    features: Features,
    version: str,
    settings: FitSettings,
    on_round: Callable[[], None],
) -> Artifact:
    """A version that can score, without measures and drift baseline."""
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
        naive_rates=naive_rates(fit_days, features.names),
    )
    return Artifact(fitted.booster, fitted.scaler, manifest)
