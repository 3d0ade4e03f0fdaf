"""Replays recorded trades from files, one after another, in the order in which they once arrived."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feeds.floorsheet import CsvFile
from feeds.source import BadRow, FeedError
from feeds.trades import Days, checked, ticks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from pathlib import Path

    import pandas as pd

    from state.tick import Tick

_BATCH_ROWS = 65_536

PARQUET_COLUMNS = {
    "symbol": "symbol",
    "rate": "price",
    "qty": "volume",
    "ts_us_utc": "event_time_us",
    "contract_id": "trade_id",
    "buyer": "buyer",
    "seller": "seller",
}
"""Columns of a Parquet file of trades that are read, and what each is in a tick. `ts_us_utc`: µs since the epoch."""


class _File(Protocol):
    def count(self) -> int: ...

    def rows(self, bad_rows: list[BadRow], days: Days) -> Iterator[pd.DataFrame]: ...


class ParquetFile:
    """A Parquet file of trades in order of arrival.

    Args:
        path: The file.

    Raises:
        FeedError: If it can't be read or lacks a column.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with pq.ParquetFile(path) as file:
                missing = PARQUET_COLUMNS.keys() - set(file.schema_arrow.names)
                self._count = file.metadata.num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise FeedError(f"{path} can't be read: {error}") from None
        if missing:
            raise FeedError(f"{path} lacks the columns {', '.join(sorted(missing))}")

    def count(self) -> int:
        """Rows in the file."""
        return int(self._count)

    def rows(self, bad_rows: list[BadRow], days: Days) -> Iterator[pd.DataFrame]:
        """Checked rows of some days, a batch at a time; rows that are no trades are added to `bad_rows`."""
        first_row = 1
        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(PARQUET_COLUMNS)):
                if _is_outside(batch.column("ts_us_utc"), days):
                    first_row += len(batch)
                    continue
                texts = {name: batch.column(name).cast(pa.string()) for name in ("contract_id", "buyer", "seller")}
                frame = batch.to_pandas().assign(**{name: text.to_pylist() for name, text in texts.items()})
                frame = frame.rename(columns=PARQUET_COLUMNS)
                rows, bad = checked(frame.assign(line=range(first_row, first_row + len(frame))), self._path.name)
                bad_rows += bad
                first_row += len(frame)
                yield days.pick(rows)


class Replay:
    """The ticks of recorded files: NEPSE floorsheet CSV, plain CSV (either gzipped or not) and Parquet.

    A floorsheet, which is not in order of arrival, is sorted by `tradeBookId`; the other kinds are taken
    in their own order.

    Args:
        paths: The files, in the order to replay them.
        first_day: Leave out trades before this day of the exchange's calendar.
        last_day: Leave out trades after this day.

    Attributes:
        bad_rows: Rows met so far that are no trades; they are not replayed.

    Raises:
        FeedError: If a file can't be read or has an unknown layout.
    """

    def __init__(self, paths: Sequence[Path], first_day: date | None = None, last_day: date | None = None) -> None:
        self.bad_rows: list[BadRow] = []
        self._files = [_open(path) for path in paths]
        self._days = Days(first_day, last_day)

    @cached_property
    def total(self) -> int | None:
        """Rows in the files; None where days are picked out of them."""
        return sum(file.count() for file in self._files) if self._days == Days() else None

    def __iter__(self) -> Iterator[Tick]:
        for file in self._files:
            for rows in file.rows(self.bad_rows, self._days):
                yield from ticks_of(rows)


def _is_outside(times_us: pa.Array, days: Days) -> bool:
    """Whether a batch holds no trade of the days, and no row without a time, which would have to be reported."""
    if times_us.null_count:
        return False
    span = pc.min_max(times_us)
    return days.exclude(span["min"].as_py() // 1000, span["max"].as_py() // 1000)


def _open(path: Path) -> _File:
    if not path.is_file():
        raise FeedError(f"{path} is no file")
    return ParquetFile(path) if path.suffix == ".parquet" else CsvFile(path)
