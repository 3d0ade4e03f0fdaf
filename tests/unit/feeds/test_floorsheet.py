"""Reading recorded trades: CSV of both kinds, and the rows that are none."""

from __future__ import annotations

import gzip
from datetime import date
from typing import TYPE_CHECKING

import pytest

from feeds.replay import Replay
from feeds.source import FeedError
from state.tick import Tick

if TYPE_CHECKING:
    from pathlib import Path

NEPSE_HEADER = (
    "id,contractId,contractType,stockSymbol,buyerMemberId,sellerMemberId,contractQuantity,contractRate,contractAmount,"
    "businessDate,tradeBookId,stockId,buyerBrokerName,sellerBrokerName,tradeTime,securityName"
)


def nepse_row(
    book_id: object, symbol: str = "ABC", *, rate: object = 100.5, time: str = "2024-07-21T11:00:00.5"
) -> str:
    return (
        f",20240721010000{book_id},,{symbol},42,7,10,{rate},1005,2024-07-21,{book_id},1,"
        f'"A Broker, Ltd.",Another,{time},The Company'
    )


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_floorsheet_is_replayed_in_the_order_of_its_trade_book_ids(tmp_path: Path) -> None:
    rows = [nepse_row(book_id) for book_id in (31, 12, 22, 9)]
    ticks = list(Replay([write(tmp_path / "sheet.csv", NEPSE_HEADER, *rows)]))
    assert [tick.trade_id for tick in ticks] == [f"20240721010000{book_id}" for book_id in (9, 12, 22, 31)]


def test_a_floorsheet_row_becomes_a_tick_with_nepalese_time_and_floored_milliseconds(tmp_path: Path) -> None:
    path = write(tmp_path / "sheet.csv", NEPSE_HEADER, nepse_row(12, time="2024-07-21T11:00:00.123999"))
    assert list(Replay([path])) == [
        Tick("ABC", 100.5, 10, 1_721_538_900_123, "2024072101000012", "42", "7"),
    ]


@pytest.mark.parametrize("fraction", ["", ".5", ".25917", ".123456"])
def test_times_with_any_number_of_decimals_are_read(tmp_path: Path, fraction: str) -> None:
    path = write(tmp_path / "sheet.csv", NEPSE_HEADER, nepse_row(12, time=f"2024-07-21T11:00:00{fraction}"))
    (tick,) = Replay([path])
    assert tick.event_time == 1_721_538_900_000 + int(float(f"0{fraction}") * 1000)


def test_a_gzipped_file_reads_like_a_plain_one(tmp_path: Path) -> None:
    plain = write(tmp_path / "sheet.csv", NEPSE_HEADER, nepse_row(2), nepse_row(1))
    zipped = tmp_path / "sheet.csv.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(Replay([zipped])) == list(Replay([plain]))
    assert Replay([zipped]).total == Replay([plain]).total == 2


def test_files_are_replayed_one_after_another_and_counted_together(tmp_path: Path) -> None:
    later = write(tmp_path / "a.csv", "symbol,price,volume,timestamp", "B,1,1,2000000000000")
    earlier = write(tmp_path / "b.csv", "symbol,price,volume,timestamp", "A,1,1,1000000000000", "A,2,1,1000000000001")
    replay = Replay([earlier, later])
    assert replay.total == 3
    assert [(tick.symbol, tick.price) for tick in replay] == [("A", 1), ("A", 2), ("B", 1)]


def test_plain_ticks_keep_the_order_of_the_file_and_their_columns_may_come_in_any_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "ticks.csv",
        "timestamp,volume,price,symbol,seller",
        "1700000000001,3,2.5,XYZ,7",
        "1700000000000,1,2,XYZ,",
    )
    assert list(Replay([path])) == [
        Tick("XYZ", 2.5, 3, 1_700_000_000_001, None, None, "7"),
        Tick("XYZ", 2.0, 1, 1_700_000_000_000),
    ]


def test_plain_times_may_be_epoch_milliseconds_or_iso_with_a_zone(tmp_path: Path) -> None:
    path = write(
        tmp_path / "ticks.csv",
        "symbol,price,volume,timestamp",
        "A,1,1,1721538900123",
        "A,1,1,2024-07-21T11:00:00.123999+05:45",
        "A,1,1,2024-07-21T05:15:00.123Z",
    )
    assert {tick.event_time for tick in Replay([path])} == {1_721_538_900_123}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",1,1,1700000000000", "the symbol is missing"),
        ("A,-1,1,1700000000000", "the price is not a number above 0"),
        ("A,nan,1,1700000000000", "the price is not a number above 0"),
        ("A,inf,1,1700000000000", "the price is not a number above 0"),
        ("A,one,1,1700000000000", "the price is not a number above 0"),
        ("A,1,0,1700000000000", "the volume is not a whole number above 0"),
        ("A,1,1.5,1700000000000", "the volume is not a whole number above 0"),
        ("A,1,inf,1700000000000", "the volume is not a whole number above 0"),
        ("A,1,1e300,1700000000000", "the volume is not a whole number above 0"),
        ("A,1,1,", "the time is missing, without a zone or not a time"),
        ("A,1,1,2024-07-21T11:00:00", "the time is missing, without a zone or not a time"),
        ("A,1,1,yesterday", "the time is missing, without a zone or not a time"),
        ("A,1,1,1700000000000000000", "the time is missing, without a zone or not a time"),
        ("A,1,1", "3 fields instead of 4"),
        ("A,1,1,1700000000000,9", "5 fields instead of 4"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_the_rest_is_replayed(tmp_path: Path, row: str, reason: str) -> None:
    good = "A,1,1,1700000000000"
    path = write(tmp_path / "ticks.csv", "symbol,price,volume,timestamp", good, row, good)
    replay = Replay([path])
    assert len(list(replay)) == 2
    assert [str(bad) for bad in replay.bad_rows] == [f"ticks.csv, line 3: {reason}"]


def test_lines_are_counted_right_after_empty_and_broken_ones(tmp_path: Path) -> None:
    path = write(
        tmp_path / "ticks.csv", "symbol,price,volume,timestamp", "", "A,1", "A,1,1,1700000000000", "A,x,1,1700000000000"
    )
    replay = Replay([path])
    assert len(list(replay)) == 1
    assert sorted(bad.line for bad in replay.bad_rows) == [3, 5]


def test_lines_are_counted_right_through_a_file_of_many_blocks(tmp_path: Path) -> None:
    rows = ["A,1,1,1700000000000"] * 600_000
    rows[10], rows[250_000], rows[599_999] = "A,1", "A,x,1,1700000000000", "A,y,1,1700000000000"
    replay = Replay([write(tmp_path / "ticks.csv", "symbol,price,volume,timestamp", *rows)])
    assert sum(1 for _ in replay) == 599_997
    assert sorted(bad.line for bad in replay.bad_rows) == [12, 250_002, 600_001]


def test_a_floorsheet_row_without_a_trade_book_id_is_a_bad_row(tmp_path: Path) -> None:
    replay = Replay([write(tmp_path / "sheet.csv", NEPSE_HEADER, nepse_row(""), nepse_row(5))])
    assert len(list(replay)) == 1
    assert [str(bad) for bad in replay.bad_rows] == ["sheet.csv, line 2: the trade book id is not a number"]


def test_bytes_that_are_not_utf_8_spoil_their_own_field_only(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_bytes(b"symbol,price,volume,timestamp,buyer\nA,1,1,1700000000000,\xe9\nA,2,1,1700000000000,7\n")
    assert [tick.buyer for tick in Replay([path])] == ["\ufffd", "7"]


def test_only_the_days_asked_for_are_replayed(tmp_path: Path) -> None:
    times = ("2024-07-20T23:59:59.999", "2024-07-21T00:00:00", "2024-07-21T23:59:59.999", "2024-07-22T00:00:00")
    rows = [nepse_row(number, time=time) for number, time in enumerate(times, start=1)]
    day = date(2024, 7, 21)
    path = write(tmp_path / "sheet.csv", NEPSE_HEADER, *rows)
    assert [tick.trade_id for tick in Replay([path], day, day)] == ["202407210100002", "202407210100003"]
    assert Replay([path], day, day).total is None, "how many there are is not known before they are read"


def test_an_unknown_header_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "bars.csv", "symbol,open,close", "A,1,2")
    with pytest.raises(
        FeedError, match=r"unknown header, 'symbol,open,close'; known are .*symbol,price,volume,timestamp"
    ):
        Replay([path])


def test_a_missing_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"nothing\.csv is no file"):
        Replay([tmp_path / "nothing.csv"])


def test_a_truncated_gzip_fails_with_the_file_s_name(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv.gz"
    whole = gzip.compress("\n".join([NEPSE_HEADER, *(nepse_row(n) for n in range(5000))]).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FeedError, match=r"sheet\.csv\.gz can't be read"):
        list(Replay([path]))
