from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from jobs.settings import PROJECT_ROOT
from state.rules import DAY_MS, MarketRules, TradingCalendar, load_rules

if TYPE_CHECKING:
    from pathlib import Path

NEPSE = PROJECT_ROOT / "flink-conf" / "markets" / "nepse.yaml"


@pytest.fixture
def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(NEPSE.read_text(encoding="utf-8"))
    return loaded


def epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def refusal(tmp_path: Path, content: object) -> str:
    file = tmp_path / "market.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ValueError, match=str(file)) as caught:
        load_rules(file)
    return str(caught.value)


def test_a_session_of_2024_runs_from_11_to_15_oclock_in_kathmandu(rules: MarketRules) -> None:
    day = rules.on(date(2024, 7, 2))
    assert day.open == epoch_ms("2024-07-02T11:00:00+05:45")
    assert day.close == epoch_ms("2024-07-02T15:00:00+05:45")
    assert day.start == epoch_ms("2024-07-02T00:00:00+05:45")
    assert day.end == epoch_ms("2024-07-03T00:00:00+05:45")
    assert day.band == 0.10
    assert [step.move for step in day.breakers] == [0.04, 0.05, 0.06]


def test_every_day_has_24_hours_in_a_zone_without_summer_time(rules: MarketRules) -> None:
    for number in range(366):
        day = rules.on(date(2024, 1, 1) + timedelta(days=number))
        assert day.end - day.start == DAY_MS
        assert day.open - day.start == 11 * 3_600_000


def test_a_day_in_a_zone_with_summer_time_may_have_23_or_25_hours(content: dict[str, Any]) -> None:
    rules = MarketRules.model_validate(content | {"timezone": "America/New_York"})
    spring, autumn = rules.on(date(2024, 3, 10)), rules.on(date(2024, 11, 3))
    assert spring.end - spring.start == 23 * 3_600_000
    assert autumn.end - autumn.start == 25 * 3_600_000
    assert autumn.open == epoch_ms("2024-11-03T11:00:00-05:00")


def open_days_of_week_from(rules: MarketRules, first: date) -> list[str]:
    days = [first + timedelta(days=number) for number in range(7)]
    return [f"{day:%a}" for day in days if rules.on(day).is_trading_day]


def test_the_week_went_from_sunday_to_thursday_until_april_2026_and_goes_from_monday_to_friday_since(
    rules: MarketRules,
) -> None:
    assert open_days_of_week_from(rules, date(2024, 6, 30)) == ["Sun", "Mon", "Tue", "Wed", "Thu"]
    assert open_days_of_week_from(rules, date(2026, 3, 29)) == ["Sun", "Mon", "Tue", "Wed", "Thu"]
    assert open_days_of_week_from(rules, date(2026, 4, 6)) == ["Mon", "Tue", "Wed", "Thu", "Fri"]


def test_a_dated_rule_holds_from_its_day_on_and_the_first_one_for_all_days_before(content: dict[str, Any]) -> None:
    content["price_bands"] = [
        {"from": date(2010, 1, 1), "limit": 0.10, "pre_open_limit": 0.02},
        {"from": date(2026, 1, 5), "limit": 0.15, "pre_open_limit": 0.02},
    ]
    rules = MarketRules.model_validate(content)
    bands = [rules.on(day).band for day in (date(1999, 1, 1), date(2026, 1, 4), date(2026, 1, 5), date(2030, 1, 1))]
    assert bands == [0.10, 0.10, 0.15, 0.15]


def test_the_market_is_in_session_from_its_open_up_to_its_close_on_trading_days_only(rules: MarketRules) -> None:
    tuesday, friday = rules.on(date(2024, 7, 2)), rules.on(date(2024, 7, 5))
    moments = (tuesday.open - 1, tuesday.open, tuesday.close - 1, tuesday.close)
    assert [tuesday.in_session(moment) for moment in moments] == [False, True, True, False]
    assert not friday.in_session((friday.open + friday.close) // 2)


def test_a_day_begins_at_local_midnight_and_ends_a_millisecond_before_the_next(rules: MarketRules) -> None:
    calendar = TradingCalendar(rules)
    midnight = epoch_ms("2024-07-02T00:00:00+05:45")
    assert calendar.day_of(midnight).day == date(2024, 7, 2)
    assert calendar.day_of(midnight - 1).day == date(2024, 7, 1)
    assert calendar.day_of(midnight + DAY_MS - 1).day == date(2024, 7, 2)
    assert calendar.day_of(midnight + DAY_MS).day == date(2024, 7, 3)


def test_the_calendar_finds_each_day_in_whatever_order_it_is_asked(rules: MarketRules) -> None:
    calendar = TradingCalendar(rules)
    zone = ZoneInfo("Asia/Kathmandu")
    for hours in (0, 1000, 5, 999, 24, 23, -50_000, 1001):
        moment = epoch_ms("2024-07-02T00:00:00+05:45") + hours * 3_600_000 - 1
        assert calendar.day_of(moment).day == datetime.fromtimestamp(moment / 1000, zone).date()


def test_a_missing_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the market's rules can't be read: .*nowhere\.yaml"):
        load_rules(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("text", [b"name: [unclosed", b"a: b: c", b"\xff\xfe\x00n"])
def test_a_file_that_is_no_yaml_is_said_in_a_sentence(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "market.yaml"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=r"market\.yaml is not YAML"):
        load_rules(file)


@pytest.mark.parametrize("content", [None, [], "NEPSE", 7])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, content: object) -> None:
    assert "states no valid rules" in refusal(tmp_path, content)


@pytest.mark.parametrize("name", ["timezone", "limits", "sessions", "price_bands", "index_breakers", "alerts"])
def test_a_missing_part_is_named(tmp_path: Path, content: dict[str, Any], name: str) -> None:
    del content[name]
    assert f"{name}: Field required" in refusal(tmp_path, content)


def test_a_misspelt_rule_is_refused_with_its_place(tmp_path: Path, content: dict[str, Any]) -> None:
    content["alerts"]["breakout"]["cool_down_s"] = 3
    assert "alerts.breakout.cool_down_s" in refusal(tmp_path, content)


@pytest.mark.parametrize("zone", ["Asia/Katmandoo", "", "../etc/passwd", "/etc/localtime"])
def test_an_unknown_time_zone_is_refused(tmp_path: Path, content: dict[str, Any], zone: str) -> None:
    assert "no time zone" in refusal(tmp_path, content | {"timezone": zone})


def test_a_symbol_pattern_that_is_no_regular_expression_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    content["symbols"]["pattern"] = "[A-Z"
    assert "no regular expression" in refusal(tmp_path, content)


@pytest.mark.parametrize("kind", ["sessions", "price_bands", "index_breakers"])
def test_dated_rules_out_of_order_or_of_the_same_day_or_missing_are_refused(
    tmp_path: Path, content: dict[str, Any], kind: str
) -> None:
    one = content[kind][0]
    earlier = one | {"from": date(1990, 1, 1)}
    for rules in ([one, earlier], [one, one], []):
        assert "in order of their days" in refusal(tmp_path, content | {kind: rules})


def test_a_weekday_that_is_none_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    content["sessions"][0]["days"] = ["sunday", "moonday"]
    assert "sessions.0.days.1" in refusal(tmp_path, content)
