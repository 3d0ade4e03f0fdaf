"""A log that is read much faster than a market trades, with the policy that scores only the newest waiting ticks."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from console.verify import verify_topics
from feeds.simulator.day import DayParameters
from feeds.simulator.source import SimulatedDay
from feeds.simulator.universe import make_universe
from feeds.source import RawMessage
from jobs.topics import Topic
from state.rules import load_rules
from state.tick import Tick, encode_tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.settings import OverloadSettings, Settings

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

PARTITIONS = 4
DAY = DayParameters(date(2024, 7, 2), 40_000, seed=1, halt=False)
SPAN_MS = 20 * 60_000
BEFORE_TIME_S = 2_000_000_000


def test_what_is_not_scored_is_named_counted_and_remembered_and_each_symbols_last_tick_is_scored(
    make_deployment: Callable[..., Settings],
    run_pipeline: Callable[..., tuple[Any, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_deployment(PARTITIONS)
    overload: OverloadSettings = settings.overload.model_copy(update={"policy": "conflate"})
    # With the market of before all time no tick waits for it: they come as fast as they can be read.
    market = settings.market.model_copy(update={"lag_s": BEFORE_TIME_S})
    monkeypatch.setattr("jobs.pipeline._MARKET_LEAD_S", -BEFORE_TIME_S)
    settings = settings.model_copy(update={"overload": overload, "market": market})
    start = load_rules(settings.market.rules_file).on(DAY.day).open
    simulated = SimulatedDay(make_universe(20, seed=3), DAY)
    ticks = [one for one in simulated if isinstance(one, Tick) and start <= one.event_time < start + SPAN_MS]
    log = [
        (sum(tick.symbol.encode()) % PARTITIONS, RawMessage(tick.symbol.encode(), encode_tick(tick), tick.event_time))
        for tick in ticks
    ]
    _, results = run_pipeline(settings, log)
    verdict = verify_topics(settings)
    assert verdict.clean, verdict.as_json()
    predictions = results[Topic.PREDICTIONS]
    assert verdict.predictions == len(predictions)
    assert 0 < verdict.conflated == sum(len(one.get("conflated", ())) for one in predictions)
    assert verdict.predictions + verdict.conflated + verdict.late + verdict.duplicates == len(ticks)
    last = {tick.symbol: tick.trade_id for tick in ticks}
    assert {one["symbol"] for one in predictions if one["trade_id"] == last[one["symbol"]]} == set(last)
