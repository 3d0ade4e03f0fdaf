"""The real days beside the project, which the simulator and the replay have to do with."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from feeds.replay import Replay

if TYPE_CHECKING:
    from pathlib import Path

TRADES = {"2024-04-18": 40_871, "2024-06-10": 71_884, "2024-07-02": 60_635}


@pytest.mark.parametrize(("day", "trades"), TRADES.items())
def test_a_floorsheet_and_the_same_day_in_parquet_give_the_same_ticks(shared_data: Path, day: str, trades: int) -> None:
    sheet = Replay([shared_data / f"nepse_floorsheet_{day}.csv.gz"])
    ticks = list(sheet)
    assert sheet.total == len(ticks) == trades
    assert sheet.bad_rows == []
    (parquet,) = shared_data.glob("nepse_trades_*.parquet")
    whole_day = date.fromisoformat(day)
    assert list(Replay([parquet], whole_day, whole_day)) == ticks


def test_trade_ids_of_a_real_day_are_unique(shared_data: Path) -> None:
    ticks = list(Replay([shared_data / "nepse_floorsheet_2024-07-02.csv.gz"]))
    assert len({tick.trade_id for tick in ticks}) == len(ticks)
