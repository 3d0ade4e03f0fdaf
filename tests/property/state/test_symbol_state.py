"""A symbol's memory: what it gives depends on the trades alone, and it comes back from its bytes as it was."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import codec, journal
from state.journal import Memory
from tests.unit.state.conftest import Elements

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.bars import Bar
    from state.outcomes import Realised
    from state.symbol_alerts import Alert
    from state.symbol_state import SymbolState

DAY_MS = 86_400_000
BOUND_MS = 15_000
END_OF_TIME = 2**62

few = settings(max_examples=40)


class Trade(NamedTuple):
    time: int
    price: float
    volume: int
    key: int | None
    partition: int
    offset: int


class Watermark(NamedTuple):
    time: int


class Result(NamedTuple):
    features: list[bytes]
    alerts: list[Alert]
    bars: list[Bar]
    outcomes: list[Realised]


@st.composite
def logs(draw: st.DrawFn) -> list[Trade | Watermark]:
    """Trades of a few days, disordered within the watermark's bound, and watermarks between them, in steps of any size.

    Now and then a watermark runs ahead of the newest trade, as when a stream that stopped is settled.
    """
    newest = draw(st.sampled_from([1_719_897_300_000, 1_719_897_300_000 + 46_000_000]))
    watermark = 0
    log: list[Trade | Watermark] = []
    for offset in range(draw(st.integers(1, 60))):
        gap = st.sampled_from([0, 1, 400, 3_000, 15_000, 60_000, 61_000, 400_000] * 3 + [DAY_MS, 3 * DAY_MS])
        newest = max(newest + draw(gap), watermark + 1)
        time = max(newest - draw(st.sampled_from([0, 0, 0, 5, BOUND_MS - 1])), watermark + 1)
        price = 500 + draw(st.integers(-40, 40)) / draw(st.sampled_from([10, 100]))
        volume = draw(st.sampled_from([1, 10, 10, 700, 10_000_000_000]))
        log.append(Trade(time, price, volume, draw(st.none() | st.just(offset + 1)), offset % 2, offset))
        if draw(st.booleans()):
            behind = draw(st.sampled_from([BOUND_MS, BOUND_MS, BOUND_MS + 40_000, 0, -200_000]))
            watermark = max(watermark, newest - behind)
            log.append(Watermark(watermark))
    return log


def run(state: SymbolState, log: list[Trade | Watermark]) -> Result:
    result = Result([], [], [], [])
    for entry in log:
        if isinstance(entry, Trade):
            result.features.append(state.apply(*entry))
            result.alerts.extend(state.take_alerts())
        else:
            bars, outcomes = state.advance(entry.time)
            result.bars.extend(bars)
            result.outcomes.extend(outcomes)
    return result


def settled(result: Result, state: SymbolState) -> Result:
    """The result with what still waits; bars and outcomes in an order of their own."""
    bars, outcomes = state.advance(END_OF_TIME)
    return result._replace(bars=sorted(result.bars + bars), outcomes=sorted(result.outcomes + outcomes))


class Journal:
    """What the job writes into Flink's state for one symbol: a snapshot, entries since, trade keys beside them."""

    def __init__(self) -> None:
        self.elements: list[bytes] = []
        self.key_chunks: list[bytes] = []
        self.new_keys: list[int] = []
        self.entries = 0

    def take(self, state: SymbolState, entry: Trade | Watermark) -> None:
        session = state.session
        if isinstance(entry, Trade):
            state.apply(*entry)
            if entry.key is not None:
                self.new_keys.append(entry.key)
            trade_id = None if entry.key is None else str(entry.key)
            trade = codec.Trade(entry.time, entry.price, entry.volume, trade_id, entry.partition, entry.offset)
            self.elements.append(codec.encode_trade(trade))
        else:
            state.advance(entry.time)
            self.elements.append(codec.encode_clock(entry.time))
        state.take_alerts()
        self.entries += 1
        if state.session != session:
            self.key_chunks = []
            self.new_keys = list(state.seen)
            self.compact(state)

    def compact(self, state: SymbolState) -> None:
        self.elements = [codec.encode_snapshot(state)]
        self.key_chunks.append(codec.encode_keys(self.new_keys))
        self.new_keys = []
        self.entries = 0


@few
@given(logs())
def test_features_bars_outcomes_and_alerts_do_not_depend_on_when_the_watermark_moves(
    new_state: Callable[[], SymbolState], log: list[Trade | Watermark]
) -> None:
    moved, unmoved = new_state(), new_state()
    trades: list[Trade | Watermark] = [entry for entry in log if isinstance(entry, Trade)]
    assert settled(run(moved, log), moved) == settled(run(unmoved, trades), unmoved)


@few
@given(logs())
def test_every_trade_has_one_row_of_features_and_one_outcome(
    new_state: Callable[[], SymbolState], log: list[Trade | Watermark]
) -> None:
    state = new_state()
    result = settled(run(state, log), state)
    offsets = [entry.offset for entry in log if isinstance(entry, Trade)]
    assert len(result.features) == len(offsets)
    assert sorted(one.offset for one in result.outcomes) == offsets
    assert sum(bar.trades for bar in result.bars if bar.interval == "1m") == len(offsets)


@few
@given(logs(), st.data())
def test_a_state_brought_back_at_any_cut_goes_on_bit_for_bit(
    new_state: Callable[[], SymbolState], log: list[Trade | Watermark], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(log)), "cut")
    compact_every = data.draw(st.integers(1, 25), "compact every")
    original, journal = new_state(), Journal()
    for number, entry in enumerate(log[:cut], start=1):
        journal.take(original, entry)
        if number % compact_every == 0:
            journal.compact(original)
    restored = new_state()
    assert codec.restore(restored, journal.elements, journal.key_chunks) == journal.entries
    assert restored.take_alerts() == []
    assert codec.encode_snapshot(restored) == codec.encode_snapshot(original)
    for name in ("seen", "clock", "session", "trades", "band", "previous_close", "next_due", "last_due"):
        one, other = getattr(restored, name), getattr(original, name)
        assert one == other or (one != one and other != other)  # noqa: PLR0124 - NaN
    assert settled(run(restored, log[cut:]), restored) == settled(run(original, log[cut:]), original)


class Holder:
    """Keeps a symbol's memory as the process function does."""

    def __init__(self, new_state: Callable[[], SymbolState]) -> None:
        self._new_state = new_state
        self.log, self.keys = Elements(), Elements()
        self.memory = Memory(new_state(), self.log, self.keys)

    def lose(self) -> None:
        """The worker dies."""
        self.memory = Memory(self._new_state(), self.log, self.keys)
        self.memory.recall()

    def take(self, entry: Trade | Watermark) -> None:
        state = self.memory.state
        if isinstance(entry, Trade):
            trade_id = None if entry.key is None else str(entry.key)
            trade = codec.Trade(entry.time, entry.price, entry.volume, trade_id, entry.partition, entry.offset, 5, 2)
            self.memory.took(trade, entry.key, state.apply(*entry))
        else:
            for one in state.advance(entry.time)[1]:
                del self.memory.requests[one.partition, one.offset]
            self.memory.moved(entry.time)
        state.take_alerts()

    def holds(self) -> tuple[bytes, set[int], dict[tuple[int, int], tuple[object, ...]]]:
        """All that must survive."""
        requests = {place: (one.subject, one.own, one.group, one.second) for place, one in self.memory.requests.items()}
        return codec.encode_snapshot(self.memory.state), set(self.memory.state.seen), requests


@few
@given(logs(), st.data())
def test_a_memory_and_its_open_requests_come_back_bit_for_bit_however_often_they_are_lost(
    new_state: Callable[[], SymbolState], log: list[Trade | Watermark], data: st.DataObject
) -> None:
    fold_bytes = data.draw(st.sampled_from([1, 200, 1_000, journal.FOLD_BYTES]), "fold bytes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "FOLD_BYTES", fold_bytes)
        original, lost = Holder(new_state), Holder(new_state)
        for entry in log:
            original.take(entry)
            lost.take(entry)
            if data.draw(st.booleans(), "dies"):
                lost.lose()
                assert lost.holds() == original.holds()


@few
@given(logs())
def test_nothing_happens_before_what_is_due_next(
    new_state: Callable[[], SymbolState], log: list[Trade | Watermark]
) -> None:
    state = new_state()
    run(state, log)
    while (due := state.next_due) is not None:
        session = state.session
        assert state.advance(due - 1) == ([], [])
        assert state.session == session
        bars, outcomes = state.advance(due)
        assert bars or outcomes or state.session != session
    assert state.trades == 0


@few
@given(logs())
def test_the_last_due_watermark_settles_all_bars_and_outcomes(
    new_state: Callable[[], SymbolState], log: list[Trade | Watermark]
) -> None:
    state = new_state()
    run(state, log)
    if state.last_due is not None:
        state.advance(state.last_due)
    assert state.last_due is None
    assert state.advance(END_OF_TIME) == ([], [])


def long_log(opening: int) -> list[Trade | Watermark]:
    """Two busy sessions, long enough for the window to drop trades and for every indicator to be known."""
    random = np.random.default_rng(5)
    log: list[Trade | Watermark] = []
    offset = 0
    for start in (opening, opening + DAY_MS):
        newest = start + random.exponential(3_500, 1_200).astype(int).cumsum()
        steps = random.choice([-1, 0, 1, 2, -2], newest.size)
        steps[-60:] *= 30
        prices = (5_000 + steps.cumsum()) / 10
        behind = np.where(random.random(newest.size) < 0.05, random.integers(0, BOUND_MS, newest.size), 0)
        volumes = random.choice([10, 20], newest.size)
        volumes[::150] = 9_000
        rows = zip(newest.tolist(), behind.tolist(), prices.tolist(), volumes.tolist(), strict=True)
        for newest_time, late, price, volume in rows:
            log.append(Trade(newest_time - late, price, volume, offset + 1, 0, offset))
            offset += 1
            if offset % 25 == 0:
                log.append(Watermark(newest_time - BOUND_MS))
    return log


@pytest.mark.parametrize("cut", [1, 64, 100, 128, 129, 777, 1_248, 1_249, 2_000])
def test_a_state_of_a_busy_symbol_brought_back_goes_on_bit_for_bit(
    new_state: Callable[[], SymbolState], opening: Callable[[date], int], cut: int
) -> None:
    log = long_log(opening(date(2024, 7, 1)))
    original, restored, journal = new_state(), new_state(), Journal()
    for number, entry in enumerate(log[:cut], start=1):
        journal.take(original, entry)
        if number % 128 == 0:
            journal.compact(original)
    codec.restore(restored, journal.elements, journal.key_chunks)
    assert restored.seen == original.seen
    goes_on = settled(run(restored, log[cut:]), restored)
    assert goes_on == settled(run(original, log[cut:]), original)
    assert {alert.rule for alert in goes_on.alerts} >= {"breakout", "volatility_spike", "volume_spike"}


ids = st.text(min_size=1, max_size=40) | st.integers(0, 10**25).map(str)


@given(ids)
def test_the_key_of_a_trade_id_has_64_bits_and_says_whether_it_is_the_number_itself(trade_id: str) -> None:
    key = codec.trade_key(trade_id)
    assert key is not None
    assert -(2**63) <= key < 2**63
    if key >= 0:
        assert str(key) == trade_id
    assert codec.trade_key(trade_id) == key


@given(st.integers(1, 10**18 - 1))
def test_the_key_of_a_number_of_up_to_18_digits_is_exact(number: int) -> None:
    assert codec.trade_key(str(number)) == number


@given(st.sets(ids, max_size=40))
def test_different_trade_ids_have_different_keys(trade_ids: set[str]) -> None:
    assert len({codec.trade_key(trade_id) for trade_id in trade_ids}) == len(trade_ids)


@given(st.sets(st.integers(-(2**63), 2**63 - 1)), st.integers(0, 5))
def test_keys_come_back_from_their_chunks(new_state: Callable[[], SymbolState], keys: set[int], chunks: int) -> None:
    state = new_state()
    ordered = sorted(keys)
    codec.restore(state, [], [codec.encode_keys(ordered[i :: chunks + 1]) for i in range(chunks + 1)])
    assert state.seen == keys
