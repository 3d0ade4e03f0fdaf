"""Arrow's arrays of rows, which PyFlink turns away although both of its sides read and write them.

A function that answers a block of requests gives an array of messages, each a key and a value. As an array of strings
the JVM would have to count, cut and encode each of them anew. Tried with PyFlink 2.2.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyflink.fn_execution import coders
from pyflink.table.types import ArrayType, RowType, to_arrow_type

if TYPE_CHECKING:
    from pyflink.table.types import DataType


def _to_arrow_type(kind: DataType) -> pa.DataType:
    if isinstance(kind, ArrayType):
        return pa.list_(_to_arrow_type(kind.element_type))
    if isinstance(kind, RowType):
        return pa.struct([pa.field(field.name, _to_arrow_type(field.data_type)) for field in kind])
    return to_arrow_type(kind)


def install() -> None:
    """Lets the vectorized functions of this process give arrays of rows from now on."""
    coders.to_arrow_type = _to_arrow_type
