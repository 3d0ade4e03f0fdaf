"""Live measures and drift on real days of NEPSE."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from feeds.replay import Replay
from jobs.settings import ModelSettings, Settings
from state.drift import P_UP, SLICE_MINUTES, DriftBaseline, DriftMonitor
from state.features import FEATURE_NAMES, SCHEMA_HASH
from state.rules import load_rules
from state.self_score import SelfScore
from state.tally import tally_rows
from training.dataset import build_examples
from training.drift import drift_baseline
from training.evaluate import score_day
from training.metrics import measure
from training.replay import RecordedDay, Timing, replay_day
from udfs.artifact import active_version, load_artifact
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from pathlib import Path

    from state.drift import DriftEvent
    from training.examples import DayExamples

RULES = load_rules(Settings().market.rules_file)
TIMING = Timing(out_of_orderness_ms=15_000, market_out_of_orderness_ms=2_000, market_lag_s=5)

pytestmark = pytest.mark.timeout(900)  # five days are replayed: half a minute on a machine that does nothing else


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """The shipped model."""
    directory = ModelSettings().directory
    return Scorer(load_artifact(directory, active_version(directory), SCHEMA_HASH))


@pytest.fixture(scope="module")
def calm_day(shared_data: Path) -> DayExamples:
    """2024-06-10, an ordinary day."""
    ticks = list(Replay([shared_data / "nepse_floorsheet_2024-06-10.csv.gz"]))
    return replay_day(RecordedDay(date(2024, 6, 10), ticks, {}), RULES, TIMING)


@pytest.fixture(scope="module")
def baseline(shared_data: Path, scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> DriftBaseline:
    """How the four days before were."""
    ticks = Replay([shared_data / "nepse_trades_2024-04-10_2024-07-17.parquet"], date(2024, 6, 4), date(2024, 6, 9))
    folder = tmp_path_factory.mktemp("days")
    days = build_examples(ticks, RULES, TIMING, folder, wanted=lambda _: True, on_day=lambda *_: None)
    assert len(days) == 4
    said = [score_day(scorer, day) for day in days]
    return DriftBaseline(drift_baseline(days, FEATURE_NAMES, said), FEATURE_NAMES)


def watched(baseline: DriftBaseline, day: DayExamples, features: np.ndarray, p_up: np.ndarray) -> list[DriftEvent]:
    """The whole session, slice by slice, and what was raised."""
    rule = RULES.alerts.drift
    monitor = DriftMonitor(baseline, rule.window_minutes // SLICE_MINUTES, rule.hold_minutes // SLICE_MINUTES)
    events: list[DriftEvent] = []
    numbers = day.event_times // (SLICE_MINUTES * 60_000)
    for number in np.unique(numbers):
        rows = numbers == number
        events += monitor.take(int(number), baseline.counts(features[rows], p_up[rows]))
    assert monitor.is_full, "the day was too short to be judged"
    return events


# Without the day before, a replay of one day knows no previous close: that would rightly be drift.
OF_THE_DAY_BEFORE = {"day_return", "band_position", "index_return"}


def test_an_ordinary_day_raises_no_drift(baseline: DriftBaseline, calm_day: DayExamples, scorer: Scorer) -> None:
    events = watched(baseline, calm_day, calm_day.features, scorer.score(calm_day.features)[:, 0])
    assert [event for event in events if event.feature not in OF_THE_DAY_BEFORE] == []


def test_a_feed_that_counts_shares_in_dozens_raises_drift_of_the_volumes(
    baseline: DriftBaseline, calm_day: DayExamples, scorer: Scorer
) -> None:
    shifted = calm_day.features.copy()
    shifted[:, FEATURE_NAMES.index("log_volume")] -= np.log(12)
    events = watched(baseline, calm_day, shifted, scorer.score(shifted)[:, 0])
    raised = {event.feature: event for event in events if event.raised}
    assert raised.keys() - OF_THE_DAY_BEFORE - {P_UP} == {"log_volume"}
    assert raised["log_volume"].psi > raised["log_volume"].threshold == 0.25


def test_of_a_real_day_the_live_measures_are_those_of_evaluate(calm_day: DayExamples, scorer: Scorer) -> None:
    said = score_day(scorer, calm_day)
    score = SelfScore(6 * 60)  # the whole session
    minutes = calm_day.event_times // 60_000
    for minute in np.unique(minutes):
        score.take(int(minute), tally_rows(said[minutes == minute], calm_day.labels[minutes == minute]))
    ours, theirs = score.measures(), measure(said, calm_day.labels)
    assert ours["trades"] == theirs["trades"] > 30_000
    assert ours["non_flat"]["auc"] == pytest.approx(theirs["non_flat"]["auc"], abs=1e-5)
    for group, name in [
        ("non_flat", "accuracy"),
        ("non_flat", "log_loss"),
        ("three_class", "log_loss"),
        ("three_class", "accuracy"),
        ("three_class", "macro_f1"),
    ]:
        assert ours[group][name] == pytest.approx(theirs[group][name], abs=1e-9), (group, name)
    assert ours["ece_p_up"] == pytest.approx(theirs["ece_p_up"], abs=1e-9)
