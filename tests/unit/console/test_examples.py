from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from console.errors import CommandError
from console.examples import last_day_over, select
from jobs.settings import Settings
from state.rules import load_rules

RULES = load_rules(Settings().market.rules_file)


def test_a_day_is_over_when_its_session_has_closed() -> None:
    close = datetime.fromtimestamp(RULES.on(date(2024, 7, 2)).close / 1000, UTC)
    assert last_day_over(RULES, close) == date(2024, 7, 2)
    assert last_day_over(RULES, close - timedelta(seconds=1)) == date(2024, 7, 1)


def test_a_day_that_is_not_over_is_not_asked_of_the_topic() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    selection = select([], (None, tomorrow), [], from_kafka=True, settings=Settings())
    assert selection.last is not None
    assert not selection.wants(tomorrow.date())
    earlier = select([], (None, datetime(2024, 7, 2, tzinfo=UTC)), [], from_kafka=True, settings=Settings())
    assert earlier.last == date(2024, 7, 2)


@pytest.mark.parametrize(("from_kafka", "simulated_days"), [(False, 0), (True, 2)])
def test_there_must_be_one_source_of_trades_and_no_more(from_kafka: bool, simulated_days: int) -> None:
    with pytest.raises(CommandError, match="either --data FILE, --from-kafka or --simulate-days N"):
        select([], (None, None), [], from_kafka=from_kafka, simulated_days=simulated_days, settings=Settings())
