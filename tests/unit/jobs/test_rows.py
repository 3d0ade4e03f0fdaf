"""The plain rows of the Python workers."""

from __future__ import annotations

from typing import Any

import pytest
from pyflink.common import Row, RowKind
from pyflink.fn_execution import coder_impl_fast, coders
from pyflink.fn_execution.datastream.process import input_handler, operations, timerservice_impl

from jobs.workers.rows import PlainRow, install

FIELDS = ("NABIL", 3, -1, 2**40)


@pytest.fixture
def coder() -> Any:
    kinds = [coders.CharCoder(), coders.IntCoder(), coders.IntCoder(), coders.BigIntCoder()]
    return coders.RowCoder(kinds, ["f0", "f1", "f2", "f3"]).get_impl()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are plain, and PyFlink's own again afterwards."""
    for module in (coder_impl_fast, input_handler, operations, timerservice_impl):
        monkeypatch.setattr(module, "Row", Row)
    monkeypatch.setattr(coder_impl_fast, "RowKind", RowKind)
    install()


@pytest.mark.usefixtures("plain")
def test_a_plain_row_has_the_fields_that_were_sent(coder: Any) -> None:
    row = coder.decode(coder.encode(Row(*FIELDS)))
    assert isinstance(row, PlainRow)
    assert tuple(row) == FIELDS


@pytest.mark.usefixtures("plain")
def test_a_plain_row_is_sent_as_the_engines_own_would_be(coder: Any) -> None:
    assert coder.encode(PlainRow(*FIELDS)) == coder.encode(Row(*FIELDS))


@pytest.mark.usefixtures("plain")
def test_a_plain_row_keeps_its_kind(coder: Any) -> None:
    sent = coder.encode(Row.of_kind(RowKind.DELETE, *FIELDS))
    row = coder.decode(sent)
    assert row.get_row_kind() is RowKind.DELETE
    assert coder.encode(row) == sent


@pytest.mark.usefixtures("plain")
def test_plain_rows_of_the_same_fields_are_one_key() -> None:
    assert {operations.Row("NABIL"): 1}[operations.Row("NABIL")] == 1
