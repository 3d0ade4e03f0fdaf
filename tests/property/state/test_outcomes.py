"""Outcomes against brute force over all trades."""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from state.outcomes import OutcomeBook, Realised

Trade = tuple[int, int]
START = 1_719_897_300_000
BOUND_MS = 15_000
HORIZON_MS = 60_000


@st.composite
def arrivals(draw: st.DrawFn) -> list[Trade]:
    """Trades (time, price) in order of arrival, at most the watermark's bound behind the newest."""
    newest = START
    trades = []
    for _ in range(draw(st.integers(1, 40))):
        newest += draw(st.sampled_from([0, 0, 1, 700, 15_000, 30_000, 59_999, 60_000, 60_001, 200_000]))
        behind = draw(st.sampled_from([0, 0, 0, 1, 700, BOUND_MS - 1]))
        trades.append((newest - behind, draw(st.sampled_from([4_990_000, 5_000_000, 5_010_000]))))
    return trades


def run(trades: list[Trade], every: int = 1) -> list[Realised]:
    """Adds the trades as they arrive; every so many the watermark moves on."""
    book = OutcomeBook()
    outcomes = []
    newest = 0
    for offset, (time, price) in enumerate(trades):
        book.add(time, price, offset % 3, offset)
        newest = max(newest, time)
        if offset % every == 0:
            outcomes += book.settle(newest - BOUND_MS)
    last_due = book.last_due
    return outcomes + (book.settle(last_due) if last_due is not None else [])


def brute_force(trades: list[Trade]) -> dict[int, tuple[float, str]]:
    """Offset → last price in the minute after the trade (of one millisecond the last arrived), and its direction."""
    answer = {}
    for offset, (time, price) in enumerate(trades):
        following = [(t, arrived, p) for arrived, (t, p) in enumerate(trades) if time < t <= time + HORIZON_MS]
        last = max(following)[2] if following else price
        answer[offset] = (last / 10_000, "up" if last > price else "down" if last < price else "flat")
    return answer


@given(arrivals(), st.integers(1, 6))
def test_outcomes_are_those_of_brute_force(trades: list[Trade], every: int) -> None:
    outcomes = run(trades, every)
    assert {one.offset: (one.realised_price, one.direction) for one in outcomes} == brute_force(trades)


@given(arrivals(), st.integers(1, 6))
def test_each_prediction_is_judged_exactly_once_and_by_its_own_time_and_price(trades: list[Trade], every: int) -> None:
    outcomes = run(trades, every)
    assert sorted(one.offset for one in outcomes) == list(range(len(trades)))
    for one in outcomes:
        time, price = trades[one.offset]
        assert (one.event_time, one.due_time, one.price) == (time, time + HORIZON_MS, price / 10_000)
        assert one.partition == one.offset % 3


@given(arrivals(), st.integers(1, 9))
def test_outcomes_do_not_depend_on_the_steps_of_the_watermark(trades: list[Trade], every: int) -> None:
    assert sorted(run(trades, every)) == sorted(run(trades, 10**9))


@given(arrivals())
def test_what_is_due_next_is_the_first_moment_at_which_an_outcome_is_known(trades: list[Trade]) -> None:
    book = OutcomeBook()
    for offset, (time, price) in enumerate(trades):
        book.add(time, price, 0, offset)
    assert book.last_due == max(trades)[0] + HORIZON_MS
    while (due := book.next_due) is not None:
        assert not book.settle(due - 1)
        assert {one.due_time for one in book.settle(due)} == {due}


@given(arrivals(), st.integers(0, 40))
def test_a_book_taken_out_of_its_dump_gives_the_same_outcomes(trades: list[Trade], cut: int) -> None:
    original, restored = OutcomeBook(), OutcomeBook()
    for offset, (time, price) in enumerate(trades[:cut]):
        original.add(time, price, 0, offset)
    if cut:
        original.settle(max(trades[:cut])[0] - BOUND_MS)
    restored.load(msgpack.unpackb(msgpack.packb(original.dump())))
    for book in (original, restored):
        for offset, (time, price) in enumerate(trades[cut:], start=cut):
            book.add(time, price, 0, offset)
    assert restored.settle(2**62) == original.settle(2**62)
