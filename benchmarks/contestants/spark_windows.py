"""Spark Structured Streaming, the usual way: windows of five minutes that a watermark of a minute closes.

What a window holds of a symbol goes through a pandas UDF at once, so no tick is answered before its window is over, and
the features know nothing from before it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.sql import functions as f

from benchmarks.assignment import Assignment
from benchmarks.contestants.spark import read, session, this_workers, write

if TYPE_CHECKING:
    from benchmarks.work import Row

WINDOW, WATERMARK = "5 minutes", "1 minute"
_COLUMNS = ("value", "time", "partition", "offset")


def main() -> None:
    """Runs until ended."""
    assignment = Assignment.from_environment()
    spark = session(assignment)
    ticks = read(spark, assignment).withColumn("time", f.unix_millis("timestamp"))
    windows = (
        ticks.withWatermark("timestamp", WATERMARK)
        .groupBy(f.window("timestamp", WINDOW), "key")
        .agg(*(f.collect_list(name).alias(name) for name in _COLUMNS))
    )
    scored = f.pandas_udf(answers, "array<binary>", f.PandasUDFType.SCALAR)("key", *_COLUMNS)  # type: ignore[call-overload]
    write(windows.select("key", f.explode(scored).alias("value")), assignment).awaitTermination()


def answers(keys: pd.Series[str], *columns: pd.Series[Any]) -> pd.Series[Any]:
    """Windows of symbols to their predictions' messages."""
    work = this_workers()
    rows: list[Row] = []
    lengths = []
    for symbol, *lists in zip(keys, *columns, strict=True):
        work.recall(symbol, ())
        ticks = sorted(zip(*lists, strict=True), key=lambda tick: tick[-1])
        for value, time, partition, offset in ticks:
            rows.append(work.take(work.parse(bytes(value), int(time)), int(partition), int(offset)))
        lengths.append(len(ticks))
    messages = iter(work.messages(rows))
    return pd.Series([[next(messages) for _ in range(length)] for length in lengths])


if __name__ == "__main__":
    # The workers must find these functions by the module's name, not by `__main__`.
    importlib.import_module("benchmarks.contestants.spark_windows").main()
