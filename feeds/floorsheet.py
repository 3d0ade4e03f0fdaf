"""Reads trades from CSV files: NEPSE floorsheets and plain ``symbol,price,volume,timestamp`` files."""

from __future__ import annotations

import gzip
from csv import Error as CsvError
from csv import reader as csv_rows
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from feeds.source import BadRow, FeedError
from feeds.trades import EXCHANGE_ZONE, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from feeds.trades import Days


class Layout(NamedTuple):
    """A kind of CSV file, known by its header.

    Attributes:
        required: Columns it must have.
        optional: Columns that are read where present.
        read: Turns the columns, all texts, into the rows that :func:`feeds.trades.checked` takes.
        ordered: Whether the file's order is the order of arrival. If not, the whole file is read first and
            `read` gives a column `arrival` to sort by.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[pd.DataFrame], pd.DataFrame]
    ordered: bool


def _read_floorsheet(texts: pd.DataFrame) -> pd.DataFrame:
    times = pd.to_datetime(texts["tradeTime"], format="ISO8601", errors="coerce")
    if times.dt.tz is None:
        times = times.dt.tz_localize(EXCHANGE_ZONE)
    return pd.DataFrame(
        {
            "symbol": texts["stockSymbol"].str.strip(),
            "price": _numbers(texts["contractRate"]),
            "volume": _numbers(texts["contractQuantity"]),
            "event_time_us": _epoch_us(times),
            "trade_id": texts["contractId"],
            "buyer": texts["buyerMemberId"],
            "seller": texts["sellerMemberId"],
            "arrival": _numbers(texts["tradeBookId"]),
        }
    )


def _read_plain(texts: pd.DataFrame) -> pd.DataFrame:
    stamps = texts["timestamp"].str.strip()
    is_epoch = stamps.str.fullmatch(r"\d+")
    has_zone = stamps.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    moments = pd.to_datetime(stamps.where(has_zone), format="ISO8601", errors="coerce", utc=True)
    rows = {
        "symbol": texts["symbol"].str.strip(),
        "price": _numbers(texts["price"]),
        "volume": _numbers(texts["volume"]),
        "event_time_us": _epoch_us(moments).where(~is_epoch, _numbers(stamps.where(is_epoch)) * 1000),
    }
    rows |= {name: texts[name] for name in _PLAIN_OPTIONAL if name in texts}
    return pd.DataFrame(rows)


_PLAIN_OPTIONAL = ("trade_id", "buyer", "seller")

LAYOUTS = {
    "NEPSE floorsheet": Layout(
        required=(
            "contractId",
            "stockSymbol",
            "buyerMemberId",
            "sellerMemberId",
            "contractQuantity",
            "contractRate",
            "tradeBookId",
            "tradeTime",
        ),
        optional=(),
        read=_read_floorsheet,
        ordered=False,
    ),
    "plain ticks": Layout(
        required=("symbol", "price", "volume", "timestamp"), optional=_PLAIN_OPTIONAL, read=_read_plain, ordered=True
    ),
}


class CsvFile:
    """One CSV file, gzipped or not.

    Args:
        path: The file.

    Raises:
        FeedError: If it can't be read or its header is of no known layout.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._layout, self._columns = _detect(path)

    def count(self) -> int:
        """Lines below the header."""
        with _open_bytes(self._path) as stream:
            lines, last = 0, b"\n"
            while block := stream.read(1 << 20):
                lines += block.count(b"\n")
                last = block
        return lines - 1 + (not last.endswith(b"\n"))

    def rows(self, bad_rows: list[BadRow], days: Days) -> Iterator[pd.DataFrame]:
        """Checked rows in order of arrival, a part of the file at a time.

        Args:
            bad_rows: The rows that are no trades are added here.
            days: Only trades of these days.

        Raises:
            FeedError: If the file can't be read to its end.
        """
        parts = (days.pick(self._part(texts, bad_rows)) for texts in self._texts(bad_rows))
        if self._layout.ordered:
            yield from parts
        else:
            whole = list(parts)
            if whole:
                yield pd.concat(whole).sort_values("arrival", kind="stable")

    def _part(self, texts: pd.DataFrame, bad_rows: list[BadRow]) -> pd.DataFrame:
        rows, bad = checked(self._layout.read(texts).assign(line=texts["line"]), self._path.name)
        bad_rows += bad
        if self._layout.ordered or not rows["arrival"].isna().any():
            return rows
        lost = rows[rows["arrival"].isna()]
        bad_rows += [BadRow(self._path.name, int(line), "the trade book id is not a number") for line in lost["line"]]
        return rows.drop(lost.index)

    def _texts(self, bad_rows: list[BadRow]) -> Iterator[pd.DataFrame]:
        """The columns as texts, with the line each row stands in."""
        broken: list[int] = []

        def on_broken_row(row: csv.InvalidRow) -> str:
            broken.append(row.number)
            reason = f"{row.actual_columns} fields instead of {row.expected_columns}"
            bad_rows.append(BadRow(self._path.name, row.number, reason))
            return "skip"

        try:
            with pa.input_stream(str(self._path), compression="detect") as stream:
                reader = csv.open_csv(
                    stream,
                    read_options=csv.ReadOptions(use_threads=False, block_size=4 << 20),
                    parse_options=csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=on_broken_row),
                    convert_options=csv.ConvertOptions(
                        include_columns=list(self._columns),
                        column_types=dict.fromkeys(self._columns, pa.binary()),
                        strings_can_be_null=False,
                    ),
                )
                next_line = 2
                for batch in reader:
                    texts = pd.DataFrame({name: _decoded(batch.column(name)) for name in self._columns})
                    texts = texts.assign(line=_lines(next_line, len(texts), broken))
                    next_line = texts["line"].iloc[-1] + 1 if len(texts) else next_line
                    yield texts[(texts[list(self._columns)] != "").any(axis=1)]  # an empty line is no row
        except (OSError, pa.ArrowInvalid) as error:
            raise FeedError(f"{self._path} can't be read to its end: {error}") from None


def _detect(path: Path) -> tuple[Layout, tuple[str, ...]]:
    try:
        with _open_bytes(path) as stream:
            header = stream.readline(65_536).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise FeedError(f"{path} can't be read: {error}") from None
    try:
        names = next(csv_rows([header]), [])
    except CsvError as error:
        raise FeedError(f"{path} has a header that is no CSV: {error}") from None
    for layout in LAYOUTS.values():
        if set(layout.required) <= set(names):
            return layout, (*layout.required, *(name for name in layout.optional if name in names))
    wanted = "; ".join(f"{name}: {','.join(layout.required)}" for name, layout in LAYOUTS.items())
    raise FeedError(f"{path} has an unknown header, '{header.strip()[:200]}'; known are {wanted}")


def _open_bytes(path: Path) -> gzip.GzipFile:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _decoded(column: pa.Array) -> Any:
    try:
        return column.cast(pa.string()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return [value.decode(errors="replace") for value in column.to_pylist()]


def _lines(first: int, count: int, broken: list[int]) -> np.ndarray[Any, Any]:
    """Lines of the next `count` whole rows, from line `first` on; broken rows take lines too."""
    candidates = np.arange(first, first + count + len(broken))
    return candidates[~np.isin(candidates, broken)][:count]


def _numbers(texts: pd.Series[str]) -> pd.Series[float]:
    return pd.to_numeric(texts, errors="coerce").astype(float)


def _epoch_us(times: pd.Series[pd.Timestamp]) -> pd.Series[float]:
    """µs since the epoch, NaN for no time; a float holds them exactly until the year 2255."""
    micros = times.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]").astype("int64")
    return micros.where(times.notna()).astype(float)
