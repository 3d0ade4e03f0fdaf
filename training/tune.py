"""Searches for better trees: optuna, an extra, tries settings on walks forward over the days of the training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from training.evaluate import score_day
from training.metrics import measure_classes
from training.split import walk_forward
from training.train import grow
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.examples import DayExamples
    from training.fit import FitSettings
    from training.train import Features

TUNING_STEPS = 2
"""Steps of the walk that a setting is judged by: one split alone would be learnt by heart."""


class TuneError(Exception):
    """Settings can't be tried; the text is a sentence that says why and what to do."""


def load_optuna() -> Any:
    """The library that is an extra.

    Raises:
        TuneError: If it is not installed.
    """
    try:
        import optuna  # noqa: PLC0415 - an extra
    except ImportError:
        raise TuneError("--tune needs optuna, which is not installed; add it with `pip install optuna`") from None
    return optuna


def tune(
    days: Sequence[DayExamples],
    features: Features,
    settings: FitSettings,
    trials: int,
    on_round: Callable[[], None] = lambda: None,
) -> FitSettings:
    """The settings with the least three-class log loss on days that the trees had not seen.

    The first trial is the settings as they are, so that the result is never worse on these days; the others vary depth,
    learning rate and the least weight of a leaf. The same days and seed give the same settings.

    Args:
        days: Days in order of time.
        features: Their columns.
        settings: Where to begin; rounds, seed and threads are kept.
        trials: Number of settings to try.
        on_round: Called after each round of boosting.

    Raises:
        DataError: If there are too few days.
        TuneError: If optuna is not installed.
    """
    optuna = load_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    steps = list(walk_forward(days, TUNING_STEPS))

    def log_loss(trial: Any) -> float:
        tried = replace(
            settings,
            max_depth=trial.suggest_int("max_depth", 3, 9),
            learning_rate=trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
            min_child_weight=trial.suggest_float("min_child_weight", 5.0, 1000.0, log=True),
        )
        return float(np.mean([_log_loss(seen, unseen, features, tried, on_round) for seen, unseen in steps]))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed))
    names = ("max_depth", "learning_rate", "min_child_weight")
    study.enqueue_trial({name: getattr(settings, name) for name in names})
    study.optimize(log_loss, n_trials=trials)
    return replace(settings, **study.best_params)


def _log_loss(
    seen: Sequence[DayExamples],
    unseen: Sequence[DayExamples],
    features: Features,
    settings: FitSettings,
    on_round: Callable[[], None],
) -> float:
    scorer = Scorer(grow(seen, features, "trial", settings, on_round))
    said = np.concatenate([score_day(scorer, day) for day in unseen]).astype(np.float64)
    return measure_classes(said, np.concatenate([day.labels for day in unseen]))["log_loss"]
