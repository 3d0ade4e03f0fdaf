"""The PyFlink job as one writes it first: DataStream, `key_by` with a lambda, a pickled ListState, a prediction a tick.

Exactly once through the KafkaSink; all of Flink's settings that make Python faster are at their defaults. The last 60
ticks are read out of the ListState and written back at every tick. What the features need beyond them (five minutes of
ticks, indicators, the session's numbers) is held in an object beside it, which a restart would lose: keeping that too
the obvious way would make this contestant several times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyflink.common import Types, WatermarkStrategy
from pyflink.common.serialization import SimpleStringSchema
from pyflink.datastream import (
    KeyedProcessFunction,
    MapFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.state import ListStateDescriptor

from benchmarks.assignment import Assignment
from benchmarks.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state.tick import Tick

WINDOW = 60


class Parse(MapFunction):  # type: ignore[misc]
    """A message to a tick."""

    def open(self, runtime_context: RuntimeContext) -> None:  # noqa: ARG002 - the engine's signature
        """Called once a worker."""
        self._work = Work()

    def map(self, value: str) -> Tick:
        """The tick."""
        return self._work.parse(value.encode(), 0)


class Predict(KeyedProcessFunction):  # type: ignore[misc]
    """A tick to its prediction's message."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Called once a worker."""
        self._window = runtime_context.get_list_state(ListStateDescriptor("window", Types.PICKLED_BYTE_ARRAY()))
        self._work = Work()

    def process_element(self, value: Tick, ctx: KeyedProcessFunction.Context) -> Iterator[str]:  # noqa: ARG002
        """One tick; the DataStream source gives no position, so the message names none."""
        window = [*self._window.get(), (value.event_time, value.price, value.volume)]
        self._window.update(window[-WINDOW:])
        row = self._work.take(value, -1, -1)
        yield self._work.messages([row])[0].decode()


def main() -> None:
    """Builds the job and submits it."""
    assignment = Assignment.from_environment()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(assignment.commit_ms)
    env.set_parallelism(assignment.workers)
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(assignment.bootstrap_servers)
        .set_topics(assignment.ticks)
        .set_group_id(assignment.group)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    sink = (
        KafkaSink.builder()
        .set_bootstrap_servers(assignment.bootstrap_servers)
        .set_record_serializer(
            KafkaRecordSerializationSchema.builder()
            .set_topic(assignment.predictions)
            .set_value_serialization_schema(SimpleStringSchema())
            .build()
        )
        .set_delivery_guarantee(DeliveryGuarantee.EXACTLY_ONCE)
        .set_transactional_id_prefix(assignment.group)
        .set_property("transaction.timeout.ms", "900000")
        .set_property("compression.type", "lz4")
        .build()
    )
    ticks: Any = env.from_source(source, WatermarkStrategy.no_watermarks(), "ticks")
    ticks.map(Parse()).key_by(lambda tick: tick.symbol).process(Predict(), Types.STRING()).sink_to(sink)
    env.execute()


if __name__ == "__main__":
    main()
