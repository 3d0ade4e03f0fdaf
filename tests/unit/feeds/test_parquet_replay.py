"""Reading recorded trades from Parquet."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feeds.replay import Replay
from feeds.source import FeedError
from state.tick import Tick

if TYPE_CHECKING:
    from pathlib import Path

NOON_2024_07_21_US = 1_721_542_500_000_000
DAY_US = 86_400_000_000


def table(**columns: list[object]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table(
        {
            "contract_id": pa.array(range(2024072101000001, 2024072101000001 + count), pa.uint64()),
            "symbol": ["ABC"] * count,
            "buyer": pa.array([42] * count, pa.int16()),
            "seller": pa.array([7] * count, pa.int16()),
            "qty": pa.array([10] * count, pa.int32()),
            "rate": [100.5] * count,
            "ts_us_utc": [NOON_2024_07_21_US + n for n in range(count)],
        }
        | columns
    )


def test_a_row_becomes_a_tick_with_texts_for_ids(tmp_path: Path) -> None:
    pq.write_table(table(ts_us_utc=[NOON_2024_07_21_US + 1999]), tmp_path / "trades.parquet")
    assert list(Replay([tmp_path / "trades.parquet"])) == [
        Tick("ABC", 100.5, 10, 1_721_542_500_001, "2024072101000001", "42", "7")
    ]


def test_the_file_s_order_is_the_order_of_arrival(tmp_path: Path) -> None:
    times = [NOON_2024_07_21_US + offset for offset in (5000, 1000, 9000)]
    pq.write_table(table(ts_us_utc=times), tmp_path / "trades.parquet")
    assert [tick.event_time for tick in Replay([tmp_path / "trades.parquet"])] == [t // 1000 for t in times]


def test_rows_with_holes_are_bad_rows_even_where_days_are_picked(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {
        "symbol": ["ABC", None, "ABC", "ABC"],
        "rate": [100.5, 100.5, None, 100.5],
        "ts_us_utc": [NOON_2024_07_21_US, NOON_2024_07_21_US, NOON_2024_07_21_US, None],
    }
    pq.write_table(table(**columns), tmp_path / "trades.parquet")
    replay = Replay([tmp_path / "trades.parquet"], date(2024, 7, 21), None)
    assert len(list(replay)) == 1
    assert [bad.line for bad in replay.bad_rows] == [2, 3, 4]


def test_days_are_picked_out_of_many_row_groups(tmp_path: Path) -> None:
    times: list[object] = [NOON_2024_07_21_US + day * DAY_US for day in (-1, 0, 0, 1)]
    pq.write_table(table(ts_us_utc=times), tmp_path / "trades.parquet", row_group_size=1)
    replay = Replay([tmp_path / "trades.parquet"], date(2024, 7, 21), date(2024, 7, 21))
    assert [tick.trade_id for tick in replay] == ["2024072101000002", "2024072101000003"]


def test_the_total_is_known_beforehand(tmp_path: Path) -> None:
    pq.write_table(table(rate=[1.0] * 17), tmp_path / "trades.parquet")
    assert Replay([tmp_path / "trades.parquet"]).total == 17


def test_a_file_without_a_needed_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(table(rate=[1.0]).drop_columns(["qty"]), tmp_path / "trades.parquet")
    with pytest.raises(FeedError, match="lacks the columns qty"):
        Replay([tmp_path / "trades.parquet"])


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trades.parquet").write_text("symbol,price\n")
    with pytest.raises(FeedError, match="can't be read"):
        Replay([tmp_path / "trades.parquet"])
