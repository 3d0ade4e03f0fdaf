"""Grows the trees: scaling, gradient boosting with early stopping, temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost
from scipy.optimize import minimize_scalar

from udfs.manifest import CLASSES, Scaler
from udfs.scorer import probabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from training.examples import DayExamples

_PATIENCE = 10
"""Rounds without a better log loss on the tuning days after which the growing stops."""


@dataclass(frozen=True)
class FitSettings:
    """How the trees are grown.

    Attributes:
        rounds: Most rounds of boosting; each grows one tree per class.
        max_depth: Deepest tree.
        learning_rate: Shrinkage of each round.
        min_child_weight: Least sum of second derivatives in a leaf; against leaves of a few trades.
        features_per_tree: Share of the features that a tree may use, drawn anew for each.
        recent_days: So many days, the newest, give all of their trades to the fit.
        older_step: Of the days before, one trade in so many: they say less of the days to come, and memory and time
            go by trades.
        trades_per_tree: Share of the trades that a tree is grown on, drawn anew for each.
        bins: Most bins that a feature's values are sorted into.
        seed: Seed of everything random.
        threads: Threads to grow with; the result depends on it in its last digits.
    """

    rounds: int = 120
    max_depth: int = 6
    learning_rate: float = 0.1
    min_child_weight: float = 30.0
    features_per_tree: float = 0.5
    recent_days: int = 16
    older_step: int = 4
    trades_per_tree: float = 1.0
    bins: int = 128
    seed: int = 20240410
    threads: int = 2

    def parameters(self) -> dict[str, Any]:
        """The same as XGBoost's parameters."""
        return {
            "objective": "multi:softprob",
            "num_class": len(CLASSES),
            "tree_method": "hist",
            "eval_metric": "mlogloss",
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "min_child_weight": self.min_child_weight,
            "colsample_bytree": self.features_per_tree,
            "subsample": self.trades_per_tree,
            "max_bin": self.bins,
            "seed": self.seed,
            "nthread": self.threads,
        }


@dataclass(frozen=True)
class Fit:
    """What was fitted."""

    booster: xgboost.Booster
    scaler: Scaler
    temperature: float


def fit(
    fit_days: Sequence[DayExamples],
    tuning_days: Sequence[DayExamples],
    settings: FitSettings,
    on_round: Callable[[], None] = lambda: None,
) -> Fit:
    """Fits scaling and trees on days, and stops and calibrates them on later days.

    Args:
        fit_days: Days the trees are grown on.
        tuning_days: Later days; their log loss stops the growing and sets the temperature.
        settings: How to grow.
        on_round: Called after each round.

    Returns:
        The fit; its booster holds the rounds up to the best one and no more.

    Raises:
        ValueError: If there are no days of either kind or a tuning day is not later than every fit day.
    """
    if not fit_days or not tuning_days:
        raise ValueError("a fit needs at least one day to grow on and one later day to tune on")
    if max(day.day for day in fit_days) >= min(day.day for day in tuning_days):
        raise ValueError("every tuning day must be later than every day of the fit")
    scaler = fit_scaler(fit_days, settings.older_step)
    growing = _matrix(fit_days, scaler, settings)
    tuning = _matrix(tuning_days, scaler, settings, like=growing)
    booster = xgboost.train(
        settings.parameters(),
        growing,
        num_boost_round=settings.rounds,
        evals=[(tuning, "tuning")],
        early_stopping_rounds=_PATIENCE,
        verbose_eval=False,
        callbacks=[_EachRound(on_round)],
    )
    booster = booster[: booster.best_iteration + 1]
    margins = np.concatenate([_margins(booster, scaler, day) for day in tuning_days])
    labels = np.concatenate([day.labels for day in tuning_days])
    return Fit(booster, scaler, fit_temperature(margins, labels))


def refit(fitted: Fit, days: Sequence[DayExamples], settings: FitSettings) -> Fit:
    """Grows as many rounds anew on all days, the newest among them: those count most for the days to come.

    Scaling and temperature stay: the one only moves the bins' edges, the other needs days that the trees have not
    seen.

    Args:
        fitted: What :func:`fit` gave.
        days: The days of its fit and its tuning.
        settings: How to grow.
    """
    rounds = fitted.booster.num_boosted_rounds()
    booster = xgboost.train(
        settings.parameters(), _matrix(days, fitted.scaler, settings), num_boost_round=rounds, verbose_eval=False
    )
    return Fit(booster, fitted.scaler, fitted.temperature)


def _matrix(
    days: Sequence[DayExamples], scaler: Scaler, settings: FitSettings, like: xgboost.QuantileDMatrix | None = None
) -> xgboost.QuantileDMatrix:
    """The days' trades, binned: to grow on, or, where `like` are those to grow on, all of them to be measured."""
    older = len(days) - settings.recent_days if like is None else 0
    steps = [settings.older_step if number < older else 1 for number in range(len(days))]
    return xgboost.QuantileDMatrix(
        _Days(days, steps, scaler), ref=like, max_bin=settings.bins, nthread=settings.threads
    )


def fit_scaler(days: Sequence[DayExamples], step: int = 1) -> Scaler:
    """Mean and standard deviation of each feature over all trades where it is known, or over one trade in so many."""
    counts = sum(np.count_nonzero(~np.isnan(day.features[::step]), axis=0) for day in days)
    present = np.maximum(counts, 1)
    mean = sum(np.nansum(day.features[::step], axis=0, dtype=np.float64) for day in days) / present
    variance = sum(np.nansum((day.features[::step] - mean) ** 2, axis=0) for day in days) / present
    deviation = np.sqrt(variance)
    # A feature that hardly varies is noise of its own rounding: dividing by that would only blow it up.
    constant = deviation <= np.finfo(np.float32).eps * np.abs(mean)
    return Scaler(mean=tuple(mean.tolist()), scale=tuple(np.where(constant, 1.0, deviation).tolist()))


def fit_temperature(margins: npt.NDArray[np.float32], labels: npt.NDArray[np.int8]) -> float:
    """The temperature with the least log loss, between 1/8 and 8.

    Args:
        margins: Raw sums of the trees, shape (trades, 3).
        labels: Index of the class that came, shape (trades,).
    """
    rows = np.arange(len(labels))

    def log_loss(log_temperature: float) -> float:
        of_what_came = probabilities(margins, float(np.exp(log_temperature)))[rows, labels]
        return float(-np.log(np.maximum(of_what_came.astype(np.float64), np.finfo(np.float32).tiny)).mean())

    limit = np.log(8.0)
    return float(np.exp(minimize_scalar(log_loss, bounds=(-limit, limit), method="bounded").x))


def _margins(booster: xgboost.Booster, scaler: Scaler, day: DayExamples) -> npt.NDArray[np.float32]:
    margins: npt.NDArray[np.float32] = booster.inplace_predict(
        scaler.transform(day.features), predict_type="margin", validate_features=False
    )
    return margins


class _Days(xgboost.DataIter):
    """Hands XGBoost one scaled day at a time, or one in so many of its trades: no more are in memory unbinned."""

    def __init__(self, days: Sequence[DayExamples], steps: Sequence[int], scaler: Scaler) -> None:
        super().__init__()
        self._days = days
        self._steps = steps
        self._scaler = scaler
        self._next = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Hands over the next day; False after the last."""
        if self._next == len(self._days):
            return False
        day, step = self._days[self._next], self._steps[self._next]
        self._next += 1
        input_data(data=self._scaler.transform(day.features[::step]), label=day.labels[::step])
        return True

    def reset(self) -> None:
        """Goes back to the first day."""
        self._next = 0


class _EachRound(xgboost.callback.TrainingCallback):
    def __init__(self, on_round: Callable[[], None]) -> None:
        self._on_round = on_round

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict[str, Any]) -> bool:
        """Reports the round; never stops the growing."""
        del model, epoch, evals_log
        self._on_round()
        return False
