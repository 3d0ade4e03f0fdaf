"""Keying and side outputs in the JVM, which PyFlink's public API does not offer.

`DataStream.key_by` sends every element through a Python worker only to compute its key. A stream whose elements are
Java rows (key, value, event time) can be keyed by the selector that PyFlink uses behind that worker, without the
worker. Likewise `DataStream.get_side_output` sends every element through a Python worker that changes nothing. Tried
with PyFlink 2.2.1; `tests/pipeline` fails where another version changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyflink.common import Types
from pyflink.datastream import DataStream
from pyflink.datastream.data_stream import KeyedStream
from pyflink.java_gateway import get_gateway

if TYPE_CHECKING:
    from pyflink.common.typeinfo import TypeInformation
    from pyflink.datastream import OutputTag
    from pyflink.table import StreamTableEnvironment, Table


def keyed_stream(
    tables: StreamTableEnvironment, key_type: TypeInformation, value_type: TypeInformation, *queries: Table
) -> KeyedStream:
    """Tables of (key, value ROW, event time TIMESTAMP(3)) as one stream keyed by their first column.

    The third column must be a `TIMESTAMP(3)` row time, not a `TIMESTAMP_LTZ`: only the former becomes the elements'
    timestamp (seen with 2.2.1). Keys reach Python's state as rows of one field, hence the key type's ROW: with the
    bare type the job runs but none of its checkpoints completes. SQL's own UNION ALL would be a task of its own, which
    every element passes through.
    """
    kind = Types.ROW([key_type, value_type, Types.SQL_TIMESTAMP()])
    first, *others = (tables.to_append_stream(query, kind) for query in queries)
    rows = first.union(*others) if others else first
    selector = get_gateway().jvm.KeyByKeySelector()
    keyed = rows._j_data_stream.keyBy(selector, Types.ROW([key_type]).get_java_type_info())  # noqa: SLF001
    return KeyedStream(keyed, value_type, rows)


def side_output(stream: DataStream, tag: OutputTag) -> DataStream:
    """What a process function gave under a tag, as it left the function."""
    return DataStream(stream._j_data_stream.getSideOutput(tag.get_java_output_tag()))  # noqa: SLF001
