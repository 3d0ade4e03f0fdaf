"""Samples to stages, and a year's looks to its parts."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import profile
from benchmarks.profile import Stage, jvm_samples, python_samples, shared_out
from benchmarks.year import Look, year_of

RECORDING = """
jdk.ExecutionSample {
  sampledThread = "Kafka producer"
  stackTrace = [
    net.jpountz.lz4.LZ4JNI.compress(byte[]) line: 12
    org.apache.kafka.clients.producer.KafkaProducer.send(ProducerRecord) line: 900
    org.apache.flink.connector.kafka.sink.KafkaWriter.write(Object) line: 1
  ]
}
jdk.NativeMethodSample {
  stackTrace = [
    sun.nio.ch.EPoll.wait(int, long, int, int) line: 0
  ]
}
jdk.ExecutionSample {
  stackTrace = [
    java.lang.System.arraycopy(Object) line: 1
    org.apache.beam.sdk.fn.data.BeamFnDataOutboundAggregator.flush() line: 2
    org.apache.flink.streaming.api.runners.python.beam.BeamPythonFunctionRunner.flush() line: 3
  ]
}
"""


def test_a_java_stack_belongs_to_the_stage_nearest_its_top_and_waiting_is_no_work() -> None:
    assert jvm_samples(RECORDING.splitlines()) == {profile.SINK: 1, profile.CROSSING: 1}


def test_a_python_stack_belongs_to_the_stage_nearest_its_top() -> None:
    lines = [
        "main (pyflink/a.py:1);process_element (/x/state/symbol_process.py:9);apply (/x/state/symbol_state.py:7) 30",
        "main (pyflink/a.py:1);process_element (/x/state/symbol_process.py:9) 5",
        "main (pyflink/a.py:1);eval (/x/udfs/score_ticks.py:3);inplace_predict (/y/xgboost/core.py:4) 20",
        "main (pyflink/a.py:1) 10",
    ]
    assert python_samples(lines) == {
        profile.STATE: 30, profile.PYTHON: 5, profile.MODEL: 20, profile.CROSSING_PYTHON: 10,
    }  # fmt: skip


def test_cpu_time_is_shared_out_by_samples() -> None:
    assert shared_out(0.8, Counter({"a": 3, "b": 1})) == [
        Stage("a", pytest.approx(0.6)),
        Stage("b", pytest.approx(0.2)),
    ]
    assert shared_out(0.8, Counter()) == []


def test_a_year_tells_what_a_million_ticks_cost_as_history_grows() -> None:
    looks = [
        Look(float(second), second * 100_000, second * 1.5, 2_000_000_000, 1_000_000 * second) for second in range(41)
    ]
    year = year_of(looks, 4_000_000, 48)
    assert (year["minutes"], year["ticks_per_s"], year["peak_memory_mb"]) == (0.67, 100_000.0, 2_000)
    assert [part["s_per_million"] for part in year["parts"]] == [10.0] * 4
    assert [part["cpu_s_per_million"] for part in year["parts"]] == [15.0] * 4
    assert [part["state_mb"] for part in year["parts"]] == [10.0, 20.0, 30.0, 40.0]
    assert year["last_by_second_part"] == 1.0
