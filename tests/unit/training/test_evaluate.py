from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from state.tally import measures, tally_rows
from training.evaluate import describe
from training.examples import DayExamples
from training.naive import measure_naive, naive_rates
from training.train import Features, train
from udfs.manifest import BREADTH, LAST_MOVE

if TYPE_CHECKING:
    from training.fit import FitSettings
    from udfs.artifact import Artifact
    from udfs.manifest import Manifest

MakeDay = Callable[..., DayExamples]
FEATURES = Features(names=("signal", LAST_MOVE, BREADTH), schema="abc123")
ZONE = ZoneInfo("Asia/Kathmandu")
OPEN = 1_719_897_300_000  # 2024-07-02 11:00 in Kathmandu
UP, FLAT, DOWN = 0, 1, 2


def examples(labels: list[int], last_moves: list[float] | None = None, **columns: np.ndarray) -> DayExamples:
    trades = len(labels)
    features = np.zeros((trades, 3), np.float32)
    features[:, 1] = last_moves if last_moves is not None else 0.0
    return DayExamples(
        day=date(2024, 7, 2),
        features=features,
        labels=np.array(labels, np.int8),
        event_times=columns.get("event_times", np.full(trades, OPEN)),
        symbols=columns.get("symbols", np.full(trades, "NABIL")),
        volumes=columns.get("volumes", np.full(trades, 10)),
    )


def says(*p_up: float) -> np.ndarray:
    """Probabilities without any flat."""
    return np.array([[p, 0.0, 1.0 - p] for p in p_up], np.float32)


@pytest.fixture
def artifact(day_of: MakeDay, quick: FitSettings) -> Artifact:
    return train([day_of(0), day_of(1)], FEATURES, "v1", quick, ZONE)


@pytest.fixture
def manifest(artifact: Artifact) -> Manifest:
    return artifact.manifest


def test_without_odd_lots_only_trades_of_ten_shares_count(manifest: Manifest) -> None:
    day = examples([UP, UP, UP, DOWN], volumes=np.array([9, 1, 10, 500]))
    measured = describe(manifest, [day], [says(0.9, 0.9, 0.2, 0.2)], ZONE)
    assert measured["non_flat"]["accuracy"] == 0.75
    assert measured["without_odd_lots"]["trades"] == 2
    assert measured["without_odd_lots"]["non_flat"]["accuracy"] == 0.5


def test_an_hour_is_one_of_the_exchanges_clock(manifest: Manifest) -> None:
    times = OPEN + np.array([-900_000, 0, 3_599_999, 3_600_000])
    measured = describe(manifest, [examples([UP] * 4, event_times=times)], [says(0.9, 0.9, 0.9, 0.1)], ZONE)
    assert [(row["hour"], row["trades"]) for row in measured["by_hour"]] == [(10, 1), (11, 2), (12, 1)]
    assert [row["non_flat"]["accuracy"] for row in measured["by_hour"]] == [1.0, 1.0, 0.0]


def test_symbols_are_grouped_by_how_much_they_trade_over_all_days(manifest: Manifest) -> None:
    first = examples([UP] * 8, symbols=np.array(["A"] * 4 + ["B"] * 2 + ["C", "D"]))
    second = examples([UP] * 4, symbols=np.array(["B"] * 3 + ["E"]))
    groups = describe(manifest, [first, second], [says(*[0.9] * 8), says(*[0.9] * 4)], ZONE)["by_group"]
    assert [(group["group"], group["symbols"], group["trades"]) for group in groups] == [
        ("busiest", 1, 5),  # B
        ("busy", 1, 4),  # A
        ("quietest", 3, 3),
    ]


def test_outcomes_that_are_dealt_out_anew_leave_nothing_to_predict(manifest: Manifest) -> None:
    random = np.random.default_rng(4)
    labels = random.choice([UP, FLAT, DOWN], 20_000)
    said = says(*np.where(labels == UP, 0.9, 0.1))
    measured = describe(manifest, [examples(labels.tolist())], [said], ZONE)
    assert measured["non_flat"]["auc"] == 1.0
    assert measured["placebo"]["auc"] == pytest.approx(0.5, abs=0.02)
    assert describe(manifest, [examples(labels.tolist())], [said], ZONE)["placebo"] == measured["placebo"]


def test_the_last_moves_direction_says_what_it_said_in_training(manifest: Manifest) -> None:
    # After a rise the price fell three times in four: the rule learns to say so.
    fit = examples([DOWN, DOWN, DOWN, UP] * 50 + [UP, UP, UP, DOWN] * 50, [1.0] * 200 + [-1.0] * 200)
    rates = naive_rates([fit], FEATURES.names)
    assert rates.up_after_rise == pytest.approx(0.25, abs=0.01)
    assert rates.up_after_fall == pytest.approx(0.75, abs=0.01)
    assert rates.up_after_none == 0.5
    unseen = examples([DOWN, DOWN, UP, FLAT], [1.0, 1.0, 1.0, -1.0])
    rule = measure_naive(manifest.model_copy(update={"naive_rates": rates}), [unseen], unseen.labels)["last_move_sign"]
    assert rule["accuracy"] == pytest.approx(2 / 3)
    assert rule["log_loss"] == pytest.approx(-(2 * np.log(1 - rates.up_after_rise) + np.log(rates.up_after_rise)) / 3)


def test_the_majority_is_that_of_the_training_not_of_the_days_measured(manifest: Manifest) -> None:
    rates = naive_rates([examples([UP, UP, UP, DOWN])], FEATURES.names)
    unseen = examples([DOWN, DOWN, DOWN, UP, FLAT])
    rule = measure_naive(manifest.model_copy(update={"naive_rates": rates}), [unseen], unseen.labels)["majority"]
    assert rule["accuracy"] == 0.25
    assert rule["auc"] == 0.5
    assert rule["three_class_accuracy"] == 0.2


def test_the_markets_breadth_is_undecided_at_nought(manifest: Manifest) -> None:
    unseen = examples([UP, UP, DOWN, UP])
    unseen.features[:, 2] = [0.5, 0.0, -0.1, -0.2]
    rule = measure_naive(manifest, [unseen], unseen.labels)["market_breadth_sign"]
    assert rule["accuracy"] == pytest.approx((1 + 0.5 + 1 + 0) / 4)


def test_a_version_from_before_the_frequencies_were_kept_is_measured_all_the_same(manifest: Manifest) -> None:
    older = manifest.model_copy(update={"naive_rates": None})
    rules = measure_naive(older, [examples([UP, UP, DOWN], [1.0, -1.0, -1.0])], np.array([UP, UP, DOWN], np.int8))
    assert rules["last_move_sign"] == {"auc": 0.75, "accuracy": pytest.approx(2 / 3)}
    assert set(rules) == {"majority", "last_move_sign", "market_breadth_sign"}


def test_every_class_has_its_calibration_table(manifest: Manifest) -> None:
    tables = describe(manifest, [examples([UP, DOWN])], [says(0.9, 0.9)], ZONE)["calibration"]
    assert tables["p_up"] == [{"said": pytest.approx(0.9), "happened": 0.5, "trades": 2}]
    assert tables["p_down"] == [{"said": pytest.approx(0.1), "happened": 0.5, "trades": 2}]
    assert tables["p_flat"] == [{"said": 0.0, "happened": 0.0, "trades": 2}]


@pytest.mark.parametrize("are_kept", [True, False])
def test_live_the_naive_rules_say_what_evaluate_measures(manifest: Manifest, are_kept: bool) -> None:
    random = np.random.default_rng(6)
    day = examples(random.choice([UP, FLAT, DOWN], 2000).tolist(), random.choice([-1.0, 0.0, 1.0, np.nan], 2000))
    day.features[:, 2] = random.choice([-0.2, 0.0, 0.3, np.nan], 2000)
    told = manifest.model_copy(update={"naive_rates": naive_rates([day], FEATURES.names) if are_kept else None})
    said = np.full((2000, 3), [0.4, 0.3, 0.3], np.float32)
    live = tally_rows(said, day.labels, told.rates.forecasts(day.features[:, 1], day.features[:, 2]))
    offline = measure_naive(told, [day], day.labels)
    for rule, measured in measures(live)["baselines"].items():
        assert measured["accuracy"] == pytest.approx(offline[rule]["accuracy"], rel=1e-12), rule
    assert set(measures(live)["baselines"]) == set(offline)
