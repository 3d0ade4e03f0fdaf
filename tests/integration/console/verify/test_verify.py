"""Every way in which a result can be wrong, done to a right one on a real broker: `verify` must count exactly it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from console.verify import verify_topics
from jobs.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from console.verdict import Verdict

Json = dict[str, Any]
COUNTS = ("lost", "duplicated", "mismatched")


class Ground(NamedTuple):
    """A deployment whose topics hold two days and what is right about them."""

    deployment: Any
    results: dict[Topic, list[Json]]

    def verify(self) -> Verdict:
        return verify_topics(self.deployment.settings)


@pytest.fixture(scope="module")
def right(make_deployment: Any, run_job: Any, two_day_log: list[Any]) -> Ground:
    deployment = make_deployment()
    deployment.feed(two_day_log)
    results = run_job(deployment.settings, two_day_log)
    for topic, messages in results.items():
        deployment.write(topic, messages)
    return Ground(deployment, results)


@pytest.fixture
def with_topic(right: Ground) -> Iterator[Callable[[Topic, list[Json]], Verdict]]:
    """Verifies with one topic's messages replaced, and puts the right ones back."""
    changed: list[Topic] = []

    def verify(topic: Topic, messages: list[Json]) -> Verdict:
        changed.append(topic)
        right.deployment.replace(topic, messages)
        return right.verify()

    yield verify
    for topic in changed:
        right.deployment.replace(topic, right.results[topic])


def counted(verdict: Verdict, without: Topic | None = None) -> dict[str, tuple[int, ...]]:
    """Of the topics where something is wrong: lost, duplicated, mismatched."""
    found = {name: tuple(asdict(topic)[count] for count in COUNTS) for name, topic in verdict.topics.items()}
    return {name: counts for name, counts in found.items() if any(counts) and name != without}


def test_right_results_are_clean_and_every_tick_is_accounted_for(right: Ground, two_day_log: list[Any]) -> None:
    verdict = right.verify()
    assert counted(verdict) == {}
    assert (verdict.clean, verdict.pending) == (True, 0)
    assert verdict.ticks_in == len(two_day_log)
    assert (verdict.predictions, verdict.late, verdict.duplicates, verdict.dead_letters) == (
        len(right.results[Topic.PREDICTIONS]), 6, 12, 16,
    )  # fmt: skip
    rules = {one["rule"] for one in right.results[Topic.ALERTS]}
    assert rules >= {"price_band", "trading_halt", "trading_resumed", "index_halt"}
    assert {name: topic.messages for name, topic in verdict.topics.items()} == {
        topic.value: len(messages) for topic, messages in right.results.items()
    }


@pytest.mark.parametrize("topic", [topic for topic in Topic if topic not in (Topic.TICKS, Topic.MODELS)])
def test_a_message_that_stands_there_twice_is_duplicated(
    topic: Topic, right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    messages = right.results[topic]
    verdict = with_topic(topic, [*messages, messages[len(messages) // 2]])
    assert counted(verdict) == {topic.value: (0, 1, 0)}
    assert not verdict.clean


@pytest.mark.parametrize("topic", [topic for topic in Topic if topic not in (Topic.TICKS, Topic.MODELS, Topic.LATE)])
def test_a_missing_message_is_lost(
    topic: Topic, right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    middle = len(right.results[topic]) // 2
    verdict = with_topic(topic, [one for number, one in enumerate(right.results[topic]) if number != middle])
    # Whose prediction is lost, what its outcome has added to the scores can't be told.
    assert counted(verdict, Topic.SCORES if topic is Topic.PREDICTIONS else None) == {topic.value: (1, 0, 0)}
    assert not verdict.clean


def test_a_late_tick_that_no_message_speaks_of_lacks_its_prediction(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    verdict = with_topic(Topic.LATE, right.results[Topic.LATE][:-1])
    assert verdict.topics["predictions"].lost == 1
    assert not verdict.clean


def changed(messages: list[Json], name: str, value: Callable[[Any], Any]) -> list[Json]:
    """The messages, the middle one with another value in one field."""
    middle = len(messages) // 2
    return [{**one, name: value(one[name])} if number == middle else one for number, one in enumerate(messages)]


def next_float32(value: float) -> float:
    return float(np.nextafter(np.float32(value), np.float32(2)))


@pytest.mark.parametrize(
    ("topic", "name", "change"),
    [
        (Topic.PREDICTIONS, "p_up", next_float32),
        (Topic.PREDICTIONS, "p_flat", next_float32),
        (Topic.PREDICTIONS, "market_time", lambda moment: moment + 1000),
        (Topic.PREDICTIONS, "direction", lambda direction: "down" if direction == "up" else "up"),
        (Topic.PREDICTIONS, "event_time", lambda moment: moment + 1),
        (Topic.PREDICTIONS, "price", lambda price: price + 0.1),
        (Topic.PREDICTIONS, "trade_id", lambda _: None),
        (Topic.PREDICTIONS, "sequence", lambda number: number + 1),
        (Topic.OUTCOMES, "realised", lambda realised: "up" if realised == "down" else "down"),
        (Topic.OUTCOMES, "realised_price", lambda price: price + 0.1),
        (Topic.OUTCOMES, "p_down", next_float32),
        (Topic.OUTCOMES, "correct", lambda correct: not correct),
        (Topic.OUTCOMES, "log_loss", lambda loss: loss + 0.001),
        (Topic.OUTCOMES, "brier", lambda brier: brier + 0.001),
        (Topic.OUTCOMES, "return_bps", lambda bps: bps + 1),
        (Topic.SCORES, "trades", lambda trades: trades - 1),
        (Topic.SCORES, "ece_p_up", lambda error: error + 1e-6),
        (Topic.SCORES, "three_class", lambda measures: {**measures, "log_loss": measures["log_loss"] - 1e-6}),
        (Topic.SCORES, "window_start", lambda start: start + 60_000),
        (Topic.BARS, "volume", lambda volume: volume + 1),
        (Topic.BARS, "close", lambda price: price + 0.1),
        (Topic.ALERTS, "threshold", lambda threshold: threshold * 1.01),
        (Topic.LATE, "price", lambda price: price + 0.1),
        (Topic.DEAD_LETTERS, "raw", lambda _: "aGFja2Vk"),
    ],
)
def test_a_changed_value_is_a_mismatch(
    topic: Topic,
    name: str,
    change: Callable[[Any], Any],
    right: Ground,
    with_topic: Callable[[Topic, list[Json]], Verdict],
) -> None:
    verdict = with_topic(topic, changed(right.results[topic], name, change))
    assert counted(verdict) == {topic.value: (0, 0, 1)}
    assert not verdict.clean


def test_a_prediction_without_its_market_is_counted_and_it_and_its_outcome_are_scored_as_such(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    verdict = with_topic(Topic.PREDICTIONS, changed(right.results[Topic.PREDICTIONS], "market_time", lambda _: None))
    assert verdict.without_market == 1
    assert counted(verdict, Topic.SCORES) == {"predictions": (0, 0, 1), "outcomes": (0, 0, 1)}
    assert verdict.topics["scores"].mismatched > 0


def conflate(results: dict[Topic, list[Json]]) -> tuple[Json, Json]:
    """A prediction, and that of the next tick of its symbol and session."""
    following: dict[tuple[str, int], Json] = {}
    for one in reversed(results[Topic.PREDICTIONS]):
        newer = following.get((one["symbol"], one["sequence"] + 1))
        if newer is not None and 0 <= newer["event_time"] - one["event_time"] < 60_000:
            return one, newer
        following[one["symbol"], one["sequence"]] = one
    raise AssertionError


def test_a_tick_that_the_prediction_of_a_newer_one_stands_for_is_not_lost_but_conflated(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    older, newer = conflate(right.results)
    naming = {**newer, "conflated": [older["source"]]}
    told = [naming if one is newer else one for one in right.results[Topic.PREDICTIONS] if one is not older]
    judged = [one for one in right.results[Topic.OUTCOMES] if one["source"] != older["source"]]
    with_topic(Topic.OUTCOMES, judged)
    verdict = with_topic(Topic.PREDICTIONS, told)
    assert verdict.conflated == 1
    assert verdict.predictions == len(told)
    # The scores here were made with its outcome.
    assert counted(verdict, Topic.SCORES) == {}
    with_topic(Topic.OUTCOMES, right.results[Topic.OUTCOMES])
    assert counted(with_topic(Topic.PREDICTIONS, told), Topic.SCORES) == {"outcomes": (0, 1, 0)}


def test_a_prediction_does_not_stand_for_a_tick_that_is_predicted_or_newer_or_of_another_symbol(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    older, newer = conflate(right.results)
    messages = right.results[Topic.PREDICTIONS]
    other = next(one for one in messages if one["symbol"] != older["symbol"])
    predicted = [{**newer, "conflated": [older["source"]]} if one is newer else one for one in messages]
    assert counted(with_topic(Topic.PREDICTIONS, predicted)) == {"predictions": (0, 0, 1)}
    for liar, missing in ((older, newer), (other, older)):
        told = [
            {**one, "conflated": [missing["source"]]} if one is liar else one for one in messages if one is not missing
        ]
        verdict = with_topic(Topic.PREDICTIONS, told)
        assert verdict.topics["predictions"].mismatched == 1


def test_a_changed_market_block_shows_in_the_predictions_that_name_it(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    used = {one["market_time"] for one in right.results[Topic.PREDICTIONS]}
    messages = [
        {**one, "block": [value + 0.5 for value in one["block"]]} if one["market_time"] in used else one
        for one in right.results[Topic.MARKET]
    ]
    verdict = with_topic(Topic.MARKET, messages)
    assert verdict.topics["predictions"].mismatched > len(right.results[Topic.PREDICTIONS]) // 2


def test_days_without_any_snapshot_lack_every_second_that_a_tick_asked_for(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    asked = {one["market_time"] for one in right.results[Topic.PREDICTIONS]}
    assert with_topic(Topic.MARKET, []).topics["market"].lost == len(asked)


def prediction_of(message: Json, right: Ground) -> Json:
    """A prediction for a tick that must have none."""
    return {**right.results[Topic.PREDICTIONS][0], "source": message["source"]}


def test_a_late_tick_that_is_also_predicted_is_duplicated(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    extra = prediction_of(right.results[Topic.LATE][0], right)
    verdict = with_topic(Topic.PREDICTIONS, [*right.results[Topic.PREDICTIONS], extra])
    assert counted(verdict) == {"predictions": (0, 1, 0)}


def test_a_duplicate_that_is_predicted_is_duplicated(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    told = [
        (one["source"]["partition"], one["source"]["offset"])
        for topic in (Topic.PREDICTIONS, Topic.LATE, Topic.DEAD_LETTERS)
        for one in right.results[topic]
    ]
    dropped = next(offset for offset in range(1000) if (0, offset) not in told)
    extra = prediction_of({"source": {"partition": 0, "offset": dropped}}, right)
    verdict = with_topic(Topic.PREDICTIONS, [*right.results[Topic.PREDICTIONS], extra])
    assert counted(verdict) == {"predictions": (0, 1, 0)}
    assert verdict.duplicates == 12


@pytest.mark.parametrize("topic", [Topic.LATE, Topic.DEAD_LETTERS])
def test_a_good_tick_that_is_set_aside_in_a_message_that_is_not_true_is_found(
    topic: Topic, right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    """It has its prediction, so nothing is lost: what it is doing here is the question."""
    good = right.results[Topic.PREDICTIONS][3]
    changes = {"source": good["source"], "watermark": good["event_time"] - 1}
    verdict = with_topic(topic, [*right.results[topic], {**right.results[topic][0], **changes}])
    assert verdict.topics[topic.value].duplicated == 1
    assert not verdict.clean


def test_a_halt_that_the_snapshots_know_nothing_of_is_not_believed(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    alerts = right.results[Topic.ALERTS]
    halt = next(one for one in alerts if one["rule"] == "trading_halt")
    start = halt["event_time"] - 120_000
    false = {
        **halt,
        "event_time": start,
        "detail": {"start": start, "end": None},
        "source": {"partition": -1, "offset": start // 1000},
    }
    assert counted(with_topic(Topic.ALERTS, [*alerts, false])) == {"alerts": (0, 1, 0)}


def test_a_silence_of_the_log_without_any_halt_is_a_lost_alert(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    alerts = [one for one in right.results[Topic.ALERTS] if not one["rule"].startswith("trading_")]
    assert counted(with_topic(Topic.ALERTS, alerts)) == {"alerts": (2, 0, 0)}


def test_what_no_reader_of_committed_records_sees_is_not_there(
    right: Ground, with_topic: Callable[[Topic, list[Json]], Verdict]
) -> None:
    prediction = right.results[Topic.PREDICTIONS][0]
    right.deployment.write(Topic.PREDICTIONS, [prediction], end="abort")
    assert right.verify().clean
    verdict = with_topic(Topic.PREDICTIONS, right.results[Topic.PREDICTIONS][1:])
    assert counted(verdict, Topic.SCORES) == {"predictions": (1, 0, 0)}
    right.deployment.write(Topic.PREDICTIONS, [prediction], end="abort")
    assert counted(right.verify(), Topic.SCORES) == {"predictions": (1, 0, 0)}


def test_what_event_time_has_not_reached_is_pending_and_nothing_is_lost(
    make_deployment: Any, run_job: Any, two_day_log: list[Any]
) -> None:
    deployment = make_deployment()
    deployment.feed(two_day_log)
    results = run_job(deployment.settings, two_day_log, settled=False)
    for topic, messages in results.items():
        deployment.write(topic, messages)
    verdict = verify_topics(deployment.settings)
    waiting = len(results[Topic.PREDICTIONS]) - len(results[Topic.OUTCOMES])
    assert 0 < waiting == verdict.topics["outcomes"].pending
    assert verdict.topics["bars"].pending > 0
    assert verdict.topics["scores"].pending > 0
    assert (counted(verdict), verdict.clean) == ({}, True)

    last = max(results[Topic.OUTCOMES], key=lambda one: one["due_time"])
    earlier = [one for one in results[Topic.OUTCOMES] if one is not last and one["due_time"] < last["due_time"]]
    deployment.replace(Topic.OUTCOMES, [one for one in results[Topic.OUTCOMES] if one is not earlier[-1]])
    assert counted(verify_topics(deployment.settings)) == {"outcomes": (1, 0, 0)}
