"""What `jobs.keyed` relies on in PyFlink, beyond its public interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor
from pyflink.table import Schema, StreamTableEnvironment

from jobs.keyed import keyed_stream
from state.keyed_states import at_bundle_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyflink.datastream import KeyedStream, StreamExecutionEnvironment

    from jobs.settings import Settings

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

SEEN = Types.TUPLE([Types.STRING(), Types.LONG(), Types.LONG(), Types.INT()])


class Recall(KeyedProcessFunction):
    """Gives the key, the event time, the value and how many elements of this key came before; and a timer's echo."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self._before = runtime_context.get_list_state(ListStateDescriptor("before", Types.LONG()))

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        yield ctx.get_current_key(), ctx.timestamp(), value[0], len(list(self._before.get() or ()))
        self._before.add(value[0])
        ctx.timer_service().register_event_time_timer(ctx.timestamp() + 500)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        yield ctx.get_current_key(), timestamp, -1, len(list(self._before.get() or ()))


class TellAtTheEnd(KeyedProcessFunction):
    """Keeps what it is given until the bundle ends; timers count, too."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self._kept: list[int] = []
        assert at_bundle_end(runtime_context, self._told)

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> None:
        self._kept.append(value[0])
        ctx.timer_service().register_event_time_timer(ctx.timestamp() + 500)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> list[str]:  # noqa: ARG002 - interface
        self._kept.append(timestamp)
        return []

    def _told(self) -> list[str]:
        told, self._kept = self._kept, []
        return [" ".join(map(str, told))] if told else []


def numbers_by_key(env: StreamExecutionEnvironment) -> KeyedStream:
    """Three numbers of two keys at three moments, out of two tables."""
    tables = StreamTableEnvironment.create(env)
    tables.get_config().set("table.local-time-zone", "UTC")
    numbers = env.from_collection(
        [("a", 1, 1000), ("b", 2, 2000), ("a", 3, 3250)], Types.TUPLE([Types.STRING(), Types.LONG(), Types.LONG()])
    )
    schema = (
        Schema.new_builder()
        .column("f0", "STRING")
        .column("f1", "BIGINT")
        .column("f2", "BIGINT")
        .column_by_expression("moment", "CAST(TO_TIMESTAMP_LTZ(f2, 3) AS TIMESTAMP(3))")
        .watermark("moment", "moment - INTERVAL '10' SECOND")
    )
    tables.create_temporary_view("numbers", numbers, schema.build())
    small, large = (
        tables.sql_query(f"SELECT f0, ROW(f1), moment FROM numbers WHERE f1 {which}")  # noqa: S608
        for which in ("< 3", ">= 3")
    )
    return keyed_stream(tables, Types.STRING(), Types.ROW([Types.LONG()]), small, large)


def test_tables_keyed_in_the_jvm_have_their_keys_times_state_timers_and_checkpoints(
    make_environment: Callable[[Settings], StreamExecutionEnvironment], stack_settings: Settings
) -> None:
    seen = numbers_by_key(make_environment(stack_settings)).process(Recall(), SEEN)
    # Exactly once, what is collected shows only when a checkpoint has completed.
    with seen.execute_and_collect() as collected:
        rows = sorted(tuple(row) for row in collected)

    assert rows == [
        ("a", 1000, 1, 0),
        ("a", 1500, -1, 2),
        ("a", 3250, 3, 1),
        ("a", 3750, -1, 2),
        ("b", 2000, 2, 0),
        ("b", 2500, -1, 1),
    ]


def test_what_a_function_keeps_until_its_bundle_ends_is_handed_on_together(
    make_environment: Callable[[Settings], StreamExecutionEnvironment], stack_settings: Settings
) -> None:
    env = make_environment(stack_settings)
    env.set_parallelism(1)
    with numbers_by_key(env).process(TellAtTheEnd(), Types.STRING()).execute_and_collect() as collected:
        bundles = [bundle.split() for bundle in collected]

    assert sorted(int(one) for bundle in bundles for one in bundle) == [1, 2, 3, 1500, 2500, 3750]
    assert len(bundles) < 6
