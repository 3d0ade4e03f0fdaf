from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from console.errors import CommandError
from console.trial.chaos import _chosen, _plan
from console.trial.injuries import INJURIES
from console.trial.live_feed import DaysFeed, unsettled, unsettled_days
from console.trial.samples import Sample, floor_growth, trends
from console.trial.soak import _days_of
from console.trial.watch import CommittedWatch, Sight
from console.verdict import TopicVerdict, Verdict
from feeds.simulator.source import TYPICAL_SYMBOLS
from jobs.settings import Settings
from jobs.topics import Topic


def test_each_kind_of_injury_comes_as_often_as_the_others_and_the_seed_decides_the_order() -> None:
    kinds = list(INJURIES)
    plan = _plan(kinds, 2 * len(kinds) + 1, seed=7)
    assert len(plan) == 2 * len(kinds) + 1
    assert {plan[: len(kinds)].count(kind) for kind in kinds} == {1}
    assert plan == _plan(kinds, 2 * len(kinds) + 1, seed=7)
    assert plan != _plan(kinds, 2 * len(kinds) + 1, seed=8)


def test_an_unknown_kind_of_injury_is_refused_with_those_that_there_are() -> None:
    assert _chosen("redis, broker") == ["redis", "broker"]
    with pytest.raises(CommandError, match=r"'flood'; take some of worker, .*disk"):
        _chosen("redis,flood")


def pending(outcomes: int, alerts: int) -> Verdict:
    bars = TopicVerdict(pending=2 * TYPICAL_SYMBOLS)
    return Verdict(
        topics={
            Topic.OUTCOMES.value: TopicVerdict(pending=outcomes),
            Topic.BARS.value: bars,
            Topic.SCORES.value: TopicVerdict(pending=1),
            Topic.ALERTS.value: TopicVerdict(pending=alerts),
        }
    )


@pytest.mark.parametrize("silences", [0, 1], ids=["the exchange is closed", "the exchange is open"])
def test_a_trial_is_settled_when_only_what_its_last_trades_wait_for_is_pending(silences: int) -> None:
    assert unsettled(pending(TYPICAL_SYMBOLS, silences)) == 0
    assert unsettled(pending(TYPICAL_SYMBOLS + 1, silences)) == 1
    assert unsettled(pending(TYPICAL_SYMBOLS, 2)) == 1


@pytest.mark.parametrize(("alerts", "outcomes", "left"), [(0, 0, 0), (1, 0, 0), (2, 0, 1), (1, 3, 3)])
def test_after_whole_days_only_the_end_of_the_silence_before_the_last_trade_may_be_pending(
    alerts: int, outcomes: int, left: int
) -> None:
    topics = {Topic.OUTCOMES.value: TopicVerdict(pending=outcomes), Topic.ALERTS.value: TopicVerdict(pending=alerts)}
    assert unsettled_days(Verdict(topics=topics)) == left


def test_a_soak_s_trades_are_those_of_whole_days_that_are_over() -> None:
    days, trades = _days_of(400_000)
    assert (days, trades) == (5, 80_000)
    assert _days_of(6_000) == (1, 6_000)
    feed = DaysFeed(Settings(), 1000, seed=1, days=days, trades=200)
    sent = [feed._stamped(trade) for trade in feed._trades()]
    assert len(sent) == len({trade.trade_id for trade in sent}) == days * 200
    dates = {datetime.fromtimestamp(trade.event_time / 1000, UTC).date() for trade in sent}
    assert len(dates) == days
    assert max(dates) < datetime.now(UTC).date()


@pytest.fixture
def watch() -> CommittedWatch:
    return CommittedWatch(Settings())


def test_recovery_is_the_first_sight_of_a_tick_sent_after_the_moment(watch: CommittedWatch) -> None:
    watch._sights = [Sight(10_000, 11.0), Sight(20_000, 21.5), Sight(30_000, 31.5)]
    assert watch.await_younger(10.0, timeout_s=1) == 21.5
    assert watch.newest == Sight(30_000, 31.5)


def test_a_recovery_that_does_not_come_is_none_after_the_bound(watch: CommittedWatch) -> None:
    watch._sights = [Sight(10_000, 11.0)]
    assert watch.await_younger(10.0, timeout_s=0.05) is None


def test_a_recovery_that_comes_later_is_waited_for(watch: CommittedWatch) -> None:
    def come() -> None:
        with watch._moved:
            watch._sights.append(Sight(20_000, 21.0))
            watch._moved.notify_all()

    threading.Timer(0.05, come).start()
    began = time.monotonic()
    assert watch.await_younger(10.0, timeout_s=10) == 21.0
    assert time.monotonic() - began < 5


def sample(at: float, megabytes: float, heap_mb: float = 200) -> Sample:
    return Sample(at, 300, megabytes, 400, heap_mb, 350, 40, 25, 0)


def test_the_slope_of_a_leak_is_found_behind_its_first_third_and_its_outliers() -> None:
    hour = [sample(minute * 60, 500 + (400 if minute < 10 else 0) + 2 * minute) for minute in range(60)]
    hour[40] = sample(40 * 60, 5_000)
    trend = trends(hour)["taskmanager_mb"]
    assert trend.per_hour == pytest.approx(120, abs=2)
    assert trend.worst == 5_000
    assert trend.last > trend.first


def test_a_heap_that_is_collected_does_not_grow_and_one_that_leaks_does() -> None:
    saw = [sample(second, 500, 100 + second % 7 * 50) for second in range(90)]
    assert floor_growth(saw) == 0
    assert floor_growth([one._replace(heap_mb=one.heap_mb + number) for number, one in enumerate(saw)]) > 20
    assert floor_growth(saw[:1]) == 0


def test_what_stays_level_has_no_slope() -> None:
    assert trends([sample(second, 500) for second in range(30)])["taskmanager_mb"].per_hour == 0
    assert trends([sample(0, 500)])["taskmanager_mb"].per_hour == 0
