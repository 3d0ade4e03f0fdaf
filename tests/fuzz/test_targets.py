"""Whatever comes: taken, or refused in the reader's words. `make fuzz` looks longer, with atheris."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, TARGETS, seeds

if TYPE_CHECKING:
    from pathlib import Path

# pyarrow can't name a row that is broken and no text either, complains on its own, and then gives up the file.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

FOUND = sorted(CORPUS.glob("*/*"))
LENGTH = 64


@st.composite
def damaged(draw: st.DrawFn, target: str) -> bytes:
    """A whole input with some of its bytes replaced, removed, repeated or put in."""
    data = bytearray(draw(st.sampled_from(seeds(target))))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 8))
        put = draw(st.binary(max_size=8) | st.just(bytes(data[start:end]) * 2) | st.sampled_from(WORDS))
        data[start:end] = put
    return bytes(data)


WORDS = [b"", b"-", b"e999", b"NaN", b"null", b"\x00", b"\xff", b"\xc1", b'"', b",", b"\n", b"\xed\xa0\x80", b"9" * 40]
"""What readers trip over."""


@pytest.mark.parametrize("target", TARGETS)
def test_a_whole_input_is_taken(target: str) -> None:
    for data in seeds(target):
        TARGETS[target](data)


@pytest.mark.parametrize("case", FOUND, ids=lambda case: f"{case.parent.name} {case.name}")
def test_a_case_that_was_found_stays_harmless(case: Path) -> None:
    TARGETS[case.parent.name](case.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_input_is_taken_or_refused(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(damaged(target)))


@pytest.mark.parametrize("target", TARGETS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=LENGTH))
def test_arbitrary_bytes_are_taken_or_refused(target: str, data: bytes) -> None:
    TARGETS[target](data)
