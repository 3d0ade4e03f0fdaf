from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from state.features import FEATURE_NAMES
from state.rules import load_rules
from state.tick import Tick
from training.dataset import build_examples
from training.replay import RecordedDay, Timing, closing_prices, replay_day

if TYPE_CHECKING:
    from training.examples import DayExamples

NEPSE = load_rules(Path(__file__).resolve().parents[3] / "flink-conf" / "markets" / "nepse.yaml")
TIMING = Timing(out_of_orderness_ms=15_000, market_out_of_orderness_ms=2_000, market_lag_s=4)
OPEN = 1_719_897_300_000  # 2024-07-02 11:00 in Kathmandu
DAY_MS = 86_400_000


def tick(seconds: float, price: float, symbol: str = "NABIL", number: int | None = None, volume: int = 10) -> Tick:
    trade_id = None if number is None else f"2024070201{number:06d}"
    return Tick(symbol, price, volume, OPEN + int(seconds * 1000), trade_id)


def replayed(*ticks: Tick, closes: dict[str, float] | None = None) -> DayExamples:
    return replay_day(RecordedDay(date(2024, 7, 2), ticks, closes or {}), NEPSE, TIMING)


def column(examples: DayExamples, name: str) -> list[float]:
    return examples.features[:, FEATURE_NAMES.index(name)].tolist()


def test_every_trade_has_its_features_its_label_and_its_place() -> None:
    examples = replayed(tick(0, 500.0), tick(1, 810.0, "UPPER"), tick(2, 501.0, volume=70))
    assert examples.labels.tolist() == [0, 1, 1]
    assert examples.symbols.tolist() == ["NABIL", "UPPER", "NABIL"]
    assert examples.event_times.tolist() == [OPEN, OPEN + 1000, OPEN + 2000]
    assert examples.volumes.tolist() == [10, 10, 70]
    assert column(examples, "last_return") == pytest.approx([0.0, 0.0, 0.002])
    assert column(examples, "minute_of_session") == pytest.approx([0.0, 1 / 60, 2 / 60])


def test_the_price_band_is_measured_from_the_close_of_the_day_before() -> None:
    examples = replayed(tick(0, 525.0), tick(1, 100.0, "NEW"), closes={"NABIL": 500.0})
    assert column(examples, "day_return") == pytest.approx([0.05, np.nan], nan_ok=True)
    assert column(examples, "band_position")[0] == pytest.approx(0.5)


def test_a_late_trade_is_no_example_and_leaves_no_trace() -> None:
    on_time = [tick(0, 500.0), tick(20, 501.0), tick(21, 502.0)]
    with_late = [*on_time[:2], tick(5, 900.0), on_time[2]]
    assert len(replayed(*with_late)) == 3
    np.testing.assert_array_equal(replayed(*with_late).features, replayed(*on_time).features)


def test_a_trade_just_within_the_bound_is_an_example() -> None:
    assert len(replayed(tick(0, 500.0), tick(20, 501.0), tick(5.001, 500.5))) == 3


def test_a_repeated_trade_is_dropped_but_another_symbols_trade_of_that_number_is_not() -> None:
    ticks = [tick(0, 500.0, number=1), tick(1, 500.0, number=1), tick(2, 80.0, "UPPER", number=1)]
    assert replayed(*ticks).symbols.tolist() == ["NABIL", "UPPER"]


def test_a_trade_sees_the_market_of_four_seconds_before() -> None:
    market = [tick(0, 100.0, "UPPER"), tick(101.5, 101.0, "UPPER")]
    seen_at = [tick(104.9, 500.0), tick(105.1, 500.0)]  # four seconds before: the seconds 100 and 101
    assert column(replayed(*market, *seen_at), "breadth_60s")[2:] == [0.0, 1.0]


def test_the_first_trades_of_a_day_see_an_empty_market() -> None:
    examples = replayed(tick(0, 500.0), tick(3.9, 500.0), tick(4, 500.0), closes={"NABIL": 490.0})
    assert column(examples, "market_trades_60s") == pytest.approx([0.0, 0.0, np.log(2)])
    assert column(examples, "index_return") == pytest.approx([0.0, 0.0, 500 / 490 - 1])


def test_a_trade_from_before_the_first_one_sees_an_empty_market_too() -> None:
    examples = replayed(tick(10, 500.0), tick(0, 500.0), tick(20, 500.0))
    assert column(examples, "market_trades_60s") == pytest.approx([0.0, 0.0, np.log(2)])


def test_a_silent_market_calms_down() -> None:
    trades = [tick(0, 100.0, "UPPER"), tick(101, 101.0, "UPPER"), tick(130, 500.0), tick(190, 500.0)]
    assert column(replayed(*trades), "breadth_60s")[2:] == [1.0, 0.0]


def test_a_trades_own_group_is_the_one_in_its_trade_id() -> None:
    trades = [tick(0, 100.0, "UPPER", number=1), tick(101, 101.0, "UPPER", number=2), tick(109, 500.0, number=3)]
    other_group = Tick("HDL", 90.0, 10, OPEN + 109_000, "2024070205000001")
    assert column(replayed(*trades, other_group), "group_breadth_60s")[2:] == [1.0, 0.0]


def test_the_close_is_the_last_price_by_time_not_by_arrival() -> None:
    assert closing_prices([tick(5, 500.0), tick(6, 501.0), tick(5.5, 499.0), tick(1, 80.0, "UPPER")]) == {
        "NABIL": 501.0,
        "UPPER": 80.0,
    }


def test_days_replayed_side_by_side_know_the_closes_of_all_days_before(tmp_path: Path) -> None:
    def on_day(day: int, price: float, symbol: str = "NABIL") -> Tick:
        return Tick(symbol, price, 10, OPEN + day * DAY_MS)

    ticks = [on_day(0, 500.0), on_day(0, 80.0, "UPPER"), on_day(1, 505.0), on_day(2, 510.0), on_day(2, 84.0, "UPPER")]
    reported: list[tuple[date, int]] = []
    days = build_examples(
        ticks,
        NEPSE,
        TIMING,
        tmp_path,
        wanted=lambda day: day != date(2024, 7, 3),
        on_day=lambda *report: reported.append(report),
    )
    assert [(day.day, len(day)) for day in days] == [(date(2024, 7, 2), 2), (date(2024, 7, 4), 2)]
    assert sorted(reported) == [(day.day, 2) for day in days]
    # The day between is left out, but its close counts.
    assert column(days[1], "day_return") == pytest.approx([510 / 505 - 1, 84 / 80 - 1], rel=1e-5)
