"""Looks at the ends of a topic to ticks a second."""

from __future__ import annotations

import pytest

from benchmarks.throughput import Sample, Usage, throughput
from console.errors import CommandError

OFFSETS = ([*range(10), *range(11, 21)], list(range(20)))
"""Two partitions of 20 records; the first has a transaction's mark at offset 10."""
USAGES = [Usage(0.0, 0.0, 100), Usage(100.0, 50.0, 300)]


def test_the_warm_up_is_left_out_and_marks_of_transactions_are_no_records() -> None:
    samples = [Sample(0.0, (0, 0)), Sample(10.0, (5, 5)), Sample(12.0, (11, 10)), Sample(13.0, (22, 20))]
    result = throughput(samples, USAGES, OFFSETS, ticks=40, started=4.0)
    assert (result.answered, result.measured, result.seconds) == (40, 30, 3.0)
    assert result.ticks_per_s == 10.0
    assert result.first_answer_s == 6.0


def test_a_slow_contestant_is_warm_after_a_while_and_need_not_answer_everything() -> None:
    samples = [Sample(0.0, (0, 0)), Sample(10.0, (1, 0)), Sample(26.0, (2, 1)), Sample(36.0, (8, 5))]
    result = throughput(samples, USAGES, OFFSETS, ticks=10_000, started=0.0)
    assert (result.answered, result.measured, result.ticks_per_s) == (13, 10, 1.0)


def test_cpu_time_is_that_of_the_measured_part() -> None:
    samples = [Sample(0.0, (0, 0)), Sample(10.0, (5, 5)), Sample(30.0, (21, 20))]
    result = throughput(samples, USAGES, OFFSETS, ticks=40, started=0.0)
    assert result.cpu_us_per_tick == pytest.approx(10.0 / 30 * 1e6)
    assert result.peak_memory_mb == pytest.approx(300 / 1e6)


def test_what_comes_all_at_once_is_no_measurement() -> None:
    with pytest.raises(CommandError, match="at once"):
        throughput([Sample(0.0, (0, 0)), Sample(1.0, (21, 20))], USAGES, OFFSETS, ticks=40, started=0.0)
    with pytest.raises(CommandError, match="no answer"):
        throughput([Sample(0.0, (0, 0))], [], OFFSETS, ticks=40, started=0.0)
