"""docs/messages.md against the code that writes the messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from jobs.settings import PROJECT_ROOT, KafkaSettings
from jobs.topics import Topic, topic_name
from state import records
from state.bars import Bar
from state.drift import DriftEvent
from state.market_alerts import MarketAlert
from state.market_state import MarketSnapshot
from state.quality_watch import Drift, Score
from state.requests import Subject
from state.symbol_alerts import Alert
from state.tally import SIZE, measures
from state.tick import Tick, encode_tick

if TYPE_CHECKING:
    from collections.abc import Iterable

SUBJECT = Subject("NABIL", 0, None, 500.0, 0, 7, 1)
CHANCES = (0.5, 0.3, 0.2)
TICK = Tick("NABIL", 500.0, 10, 1_720_000_000_000, "1", "2", "3")


def topic_section(topic: Topic) -> str:
    text = (PROJECT_ROOT / "docs" / "messages.md").read_text("utf-8")
    heading = f"## `{topic_name(topic, KafkaSettings())}`\n"
    assert text.count(heading) == 1
    return text.partition(heading)[2].partition("\n## ")[0]


def documented_fields(topic: Topic) -> list[str]:
    table = topic_section(topic).partition("| field |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def snapshot() -> MarketSnapshot:
    return MarketSnapshot(
        second=1_720_000_000,
        advancing=1,
        declining=2,
        trades=3,
        turnover=4.0,
        returns=(0.1, 0.2, 0.3),
        index_return=0.01,
        index_is_proxy=True,
        block=np.zeros(3, np.float32),
    )


WRITTEN: dict[Topic, Iterable[str]] = {
    Topic.TICKS: orjson.loads(encode_tick(TICK)),
    Topic.PREDICTIONS: records.prediction_record(SUBJECT, CHANCES, None, "v", "active", "s", 0, [(0, 6)]),
    Topic.MARKET: records.market_record(snapshot(), ("v",)),
    Topic.BARS: records.bar_record("NABIL", Bar("1m", 0, 60_000, 1.0, 2.0, 1.0, 2.0, 3, 1.5, 2, 1.5, 0, 7)),
    Topic.ALERTS: records.alert_record("NABIL", Alert("breakout", 0, 1.0, 2.0, "a sentence", 0, 7)),
    Topic.OUTCOMES: records.outcome_record(SUBJECT, CHANCES, (60_000, "up", 501.0), "v", "active"),
    Topic.SCORES: records.score_record(Score("v", "active", 0, 60_000, measures(np.zeros(SIZE, np.int64))), 0),
    Topic.LATE: records.late_record(TICK, 0, 0, 7),
    Topic.DEAD_LETTERS: records.dead_letter_record(b"", 0, "a sentence", "nepse-ticks", 0, 7, 0),
}


@pytest.mark.parametrize("topic", WRITTEN)
def test_the_page_names_every_field_of_a_message_and_no_other(topic: Topic) -> None:
    assert sorted(documented_fields(topic)) == sorted(WRITTEN[topic])


def test_an_alert_about_the_market_has_the_fields_of_every_alert() -> None:
    alert: dict[str, Any] = records.market_alert_record(MarketAlert("trading_halt", 0, 60.0, 60.0, "", 0, None))
    assert sorted(documented_fields(Topic.ALERTS)) == sorted(alert)
    assert f"`{alert['symbol']}`" in topic_section(Topic.ALERTS)


@pytest.mark.parametrize("has_begun", [True, False])
def test_an_alert_about_drift_has_the_fields_of_every_alert(has_begun: bool) -> None:
    alert: dict[str, Any] = records.drift_record(Drift("v1", 300_000, 2, DriftEvent("age", 0.3, 0.25, has_begun)))
    assert sorted(documented_fields(Topic.ALERTS)) == sorted(alert)
    assert f"| `{alert['rule']}` |" in topic_section(Topic.ALERTS)
    assert alert["source"] == {"partition": -1, "offset": 300_002}


@pytest.mark.parametrize("topic", Topic)
def test_every_topic_has_its_section(topic: Topic) -> None:
    assert topic_section(topic).strip()
