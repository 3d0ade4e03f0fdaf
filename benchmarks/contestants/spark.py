"""Spark Structured Streaming, at least once: its Kafka output has no transactions.

A grouped pandas function keeps each symbol's memory in Spark's state and scores the symbol's ticks of a micro-batch at
once. (A pandas UDF behind it, over all symbols, fails in Spark 4.1: it can't take the rows of a grouped function.)
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql import functions as f
from pyspark.sql.streaming.state import GroupStateTimeout

from benchmarks.assignment import Assignment
from benchmarks.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = "key STRING, value BINARY"
_works: list[Work] = []


def main() -> None:
    """Runs until ended."""
    assignment = Assignment.from_environment()
    spark = session(assignment)
    ticks = read(spark, assignment)
    answers = ticks.groupBy("key").applyInPandasWithState(
        answer, ANSWER, "snapshot BINARY", "append", GroupStateTimeout.NoTimeout
    )
    write(answers, assignment).awaitTermination()


def session(assignment: Assignment) -> SparkSession:
    """Spark in one JVM with so many cores."""
    spark = (
        SparkSession.builder.appName(assignment.group)
        .master(f"local[{assignment.workers}]")
        .config("spark.jars", os.environ["BENCH_JARS"])
        .config("spark.sql.shuffle.partitions", assignment.workers)
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", 10_000)
        .config("spark.sql.streaming.metricsEnabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .config("spark.local.dir", f"{assignment.folder}/local")
        .config("spark.sql.warehouse.dir", f"{assignment.folder}/warehouse")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("WARN")
    return spark


def read(spark: SparkSession, assignment: Assignment) -> Any:
    """The ticks, with symbol, record time and position."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", assignment.bootstrap_servers)
        .option("subscribe", assignment.ticks)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", 50_000)
        .load()
        .select(f.col("key").cast("string").alias("key"), "value", "partition", "offset", "timestamp")
    )


def write(answers: Any, assignment: Assignment) -> Any:
    """The query that writes keys and values to the predictions' topic."""
    return (
        answers.writeStream.format("kafka")
        .outputMode("append")
        .option("kafka.bootstrap.servers", assignment.bootstrap_servers)
        .option("kafka.compression.type", "lz4")
        .option("topic", assignment.predictions)
        .option("checkpointLocation", f"{assignment.folder}/checkpoints")
        .trigger(processingTime=f"{assignment.commit_ms} milliseconds")
        .start()
    )


def answer(key: tuple[str], batches: Iterator[pd.DataFrame], state: Any) -> Iterator[pd.DataFrame]:
    """One symbol's ticks of a micro-batch to their predictions' messages."""
    (symbol,) = key
    work = this_workers()
    work.recall(symbol, state.get if state.exists else ())
    ticks = pd.concat(list(batches)).sort_values("offset")
    times = ticks["timestamp"].astype("datetime64[ms]").astype("int64")
    columns = (ticks["value"], times, ticks["partition"], ticks["offset"])
    rows = [
        work.take(work.parse(bytes(value), time), partition, offset)
        for value, time, partition, offset in zip(*(column.tolist() for column in columns), strict=True)
    ]
    state.update((work.snapshot(symbol),))
    yield pd.DataFrame({"key": symbol, "value": work.messages(rows)})


def this_workers() -> Work:
    """The Python worker's own work."""
    if not _works:
        _works.append(Work())
    return _works[0]


if __name__ == "__main__":
    # The workers must find these functions by the module's name, not by `__main__`.
    importlib.import_module("benchmarks.contestants.spark").main()
