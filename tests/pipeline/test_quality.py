"""Half an hour of a simulated market through the whole pipeline: live scores and drift, beside what `evaluate` says."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml

from console.verify import verify_topics
from feeds.simulator.day import DayParameters
from feeds.simulator.source import SimulatedDay
from feeds.simulator.universe import make_universe
from feeds.source import RawMessage
from jobs.topics import Topic
from state.features import FEATURE_NAMES, SCHEMA_HASH
from state.rules import load_rules
from state.tick import Tick, encode_tick
from training.drift import drift_baseline
from training.evaluate import evaluate, score_day
from training.examples import DayExamples
from training.naive import naive_rates
from training.replay import RecordedDay, Timing, replay_day
from udfs.artifact import activate, load_artifact, write_artifact
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobs.settings import Settings
    from udfs.artifact import Artifact

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

Json = dict[str, Any]

PARTITIONS = 4
VERSION = "watched"
DAYS = [date(2024, 7, day) for day in (1, 2, 3, 4, 7, 8)]
"""All but the last are for the baseline."""
TRADES_A_DAY = 30_000
MINUTES = 30
SCORE_MINUTES = 10
SHARES_IN_A_LOT = 50


class Market(NamedTuple):
    """A model version made for the simulated days, and the rules by which it is watched."""

    directory: Path
    rules_file: Path
    artifact: Artifact


class Run(NamedTuple):
    """What became of a feed."""

    settings: Settings
    ticks: list[Tick]
    results: dict[Topic, list[Json]]

    @property
    def drifts(self) -> dict[str, Json]:
        """The alerts about drift, by feature."""
        alerts = [one for one in self.results[Topic.ALERTS] if one["rule"].startswith("drift")]
        return {one["detail"]["feature"]: one for one in alerts}


def morning(day: date, rules_file: Path) -> list[Tick]:
    """The first half hour of a simulated day, in order of arrival."""
    start = load_rules(rules_file).on(day).open
    simulated = SimulatedDay(make_universe(40, seed=3), DayParameters(day, TRADES_A_DAY, seed=1, halt=False))
    return [one for one in simulated if isinstance(one, Tick) and start <= one.event_time < start + MINUTES * 60_000]


def examples(day: date, ticks: list[Tick], settings: Settings) -> DayExamples:
    """What `tickcast evaluate` makes of the ticks."""
    bounds = settings.event_time.out_of_orderness_s, settings.market.out_of_orderness_s
    timing = Timing(*(round(bound * 1000) for bound in bounds), settings.market.lag_s)
    return replay_day(RecordedDay(day, ticks, {}), load_rules(settings.market.rules_file), timing)


@pytest.fixture(scope="module")
def market(
    make_deployment: Callable[..., Settings], model_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Market:
    settings = make_deployment()
    folder = tmp_path_factory.mktemp("quality")
    rules = yaml.safe_load(settings.market.rules_file.read_text(encoding="utf-8"))
    # A window as long as the feed: half of it would rightly differ from the whole, by the time of day alone.
    rules["alerts"]["drift"] = {"window_minutes": MINUTES, "hold_minutes": 5}
    rules_file = folder / "rules.yaml"
    rules_file.write_text(yaml.safe_dump(rules), encoding="utf-8")

    model = load_artifact(model_directory, "test-v1", SCHEMA_HASH)
    scorer = Scorer(model)
    days = [examples(day, morning(day, rules_file), settings) for day in DAYS[:-1]]
    told = {
        "version": VERSION,
        "naive_rates": naive_rates(days, FEATURE_NAMES),
        "drift_baseline": drift_baseline(days, FEATURE_NAMES, [score_day(scorer, day) for day in days]),
    }
    directory = folder / "models"
    write_artifact(directory, model.booster, model.scaler, model.manifest.model_copy(update=told))
    activate(directory, VERSION)
    return Market(directory, rules_file, load_artifact(directory, VERSION, SCHEMA_HASH))


@pytest.fixture(scope="module")
def run_feed(
    market: Market, make_deployment: Callable[..., Settings], run_pipeline: Callable[..., tuple[Any, Any]]
) -> Callable[[list[Tick]], Run]:
    def run(ticks: list[Tick]) -> Run:
        settings = make_deployment(PARTITIONS)
        sections = {
            "market": settings.market.model_copy(update={"rules_file": market.rules_file}),
            "model": settings.model.model_copy(update={"directory": market.directory, "score_minutes": SCORE_MINUTES}),
        }
        settings = settings.model_copy(update=sections)
        log = [
            (
                sum(tick.symbol.encode()) % PARTITIONS,
                RawMessage(tick.symbol.encode(), encode_tick(tick), tick.event_time),
            )
            for tick in ticks
        ]
        return Run(settings, ticks, run_pipeline(settings, log)[1])

    return run


@pytest.fixture(scope="module")
def ordinary(market: Market, run_feed: Callable[[list[Tick]], Run]) -> Run:
    return run_feed(morning(DAYS[-1], market.rules_file))


@pytest.fixture(scope="module")
def shifted(ordinary: Run, run_feed: Callable[[list[Tick]], Run]) -> Run:
    """The same half hour from a feed that counts shares, not lots."""
    return run_feed([tick._replace(volume=tick.volume * SHARES_IN_A_LOT) for tick in ordinary.ticks])


def test_the_scores_in_the_topic_are_what_evaluate_measures_over_the_same_span(ordinary: Run, market: Market) -> None:
    day = examples(DAYS[-1], ordinary.ticks, ordinary.settings)
    scores = ordinary.results[Topic.SCORES]
    minutes = np.unique(day.event_times // 60_000)
    assert [one["window_end"] // 60_000 - 1 for one in scores] == minutes.tolist()
    for score in scores[4::5]:
        assert score["window_end"] - score["window_start"] == SCORE_MINUTES * 60_000
        rows = (day.event_times >= score["window_start"]) & (day.event_times < score["window_end"])
        span = DayExamples(
            day.day,
            *(getattr(day, name)[rows] for name in ("features", "labels", "event_times", "symbols", "volumes")),
        )
        offline = evaluate(market.artifact, [span], ZoneInfo("Asia/Kathmandu"))
        assert (score["model_version"], score["role"]) == (VERSION, "active")
        assert score["trades"] == offline["trades"] > 300
        assert score["ece_p_up"] == pytest.approx(offline["ece_p_up"], abs=1e-8)
        assert score["three_class"] == pytest.approx(offline["three_class"], abs=1e-8)
        for name in ("trades", "accuracy", "log_loss"):
            assert score["non_flat"][name] == pytest.approx(offline["non_flat"][name], abs=1e-8), name
        # Within one of 2000 bins the order of the probabilities is not known.
        assert score["non_flat"]["auc"] == pytest.approx(offline["non_flat"]["auc"], abs=1e-3)
        for rule, measures in score["baselines"].items():
            assert measures["accuracy"] == pytest.approx(offline["baselines"][rule]["accuracy"], abs=1e-12), rule
        assert set(score["baselines"]) == set(offline["baselines"])


def test_an_ordinary_half_hour_raises_no_drift(ordinary: Run) -> None:
    assert ordinary.drifts == {}


def test_a_feed_that_counts_otherwise_raises_drift_of_the_volumes(shifted: Run) -> None:
    assert {"log_volume", "volume_60s", "volume_300s"} <= shifted.drifts.keys()
    assert "minute_of_session" not in shifted.drifts
    alert = shifted.drifts["log_volume"]
    assert (alert["rule"], alert["symbol"], alert["detail"]["model_version"]) == ("drift", "*MARKET*", VERSION)
    assert alert["value"] > 2 > alert["threshold"] >= 0.25
    assert alert["event_time"] == shifted.results[Topic.SCORES][-1]["window_end"]


@pytest.mark.parametrize("feed", ["ordinary", "shifted"])
def test_verify_finds_the_same_scores_and_the_same_drift(feed: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(feed)
    verdict = verify_topics(run.settings)
    assert verdict.clean, verdict.as_json()
    assert verdict.topics["scores"].messages == len(run.results[Topic.SCORES]) == MINUTES
    assert verdict.topics["alerts"].messages == len(run.results[Topic.ALERTS])
    assert verdict.pending == 0
