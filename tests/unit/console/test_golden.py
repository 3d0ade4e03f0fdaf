"""What a log must give, and in which order its ticks were taken in."""

from __future__ import annotations

from datetime import datetime

import pytest

from console.golden import GoldenAnswer, Message, Position, golden_answer
from jobs.settings import Settings
from state.rules import MarketRules, load_rules
from state.tick import Tick, encode_tick

NOON = int(datetime.fromisoformat("2024-07-02T12:00:00+05:45").timestamp() * 1000)
DAY_MS = 86_400_000
TIMES = Settings().event_time.in_ms()


@pytest.fixture(scope="module")
def rules() -> MarketRules:
    return load_rules(Settings().market.rules_file)


def message(partition: int, offset: int, number: int, trade_id: str | None = None, day: int = 0) -> Message:
    """A tick without a key; its number is its place in the market's own order."""
    time = NOON + day * DAY_MS + number * 1000
    tick = Tick("NABIL", 500.0 + number / 10, 10, time, trade_id or f"{number}")
    return Message(Position(partition, offset), time, encode_tick(tick))


def prices(answer: GoldenAnswer) -> list[float]:
    return [tick.price for tick in answer.ticks.values()]


SPREAD = [message(0, 0, 1), message(0, 1, 2), message(0, 2, 5), message(1, 0, 3), message(1, 1, 4)]
"""One symbol in two partitions."""
ARRIVED = {(1, 0): 1, (0, 0): 2, (0, 1): 3, (1, 1): 4, (0, 2): 5}
"""The sequence that the predictions of `SPREAD` tell, by position."""


def recorded(sequences: dict[tuple[int, int], int]) -> dict[Position, int]:
    return {Position(*place): sequence for place, sequence in sequences.items()}


def test_a_symbol_in_several_partitions_is_taken_in_as_its_predictions_tell(rules: MarketRules) -> None:
    answer = golden_answer(SPREAD, set(), rules, TIMES, recorded(ARRIVED))
    assert prices(answer) == [500.3, 500.1, 500.2, 500.4, 500.5]
    assert list(answer.sequences.values()) == [1, 2, 3, 4, 5]
    as_one = [SPREAD[3], SPREAD[0], SPREAD[1], SPREAD[4], SPREAD[2]]
    in_one = [one._replace(position=Position(0, offset)) for offset, one in enumerate(as_one)]
    assert answer.own == golden_answer(in_one, set(), rules, TIMES).own


def test_a_tick_whose_prediction_is_lost_goes_where_its_number_is_missing(rules: MarketRules) -> None:
    without = {place: sequence for place, sequence in ARRIVED.items() if sequence != 3}
    answer = golden_answer(SPREAD, set(), rules, TIMES, recorded(without))
    assert prices(answer) == [500.3, 500.1, 500.2, 500.4, 500.5]


def test_a_duplicate_in_another_partition_is_dropped_whichever_of_the_two_was_predicted(rules: MarketRules) -> None:
    log = [message(0, 0, 1), message(0, 1, 2), message(1, 0, 1), message(1, 1, 3)]
    answer = golden_answer(log, set(), rules, TIMES, recorded({(1, 0): 1, (0, 1): 2, (1, 1): 3}))
    assert answer.duplicates == {Position(0, 0)}
    assert list(answer.ticks) == [Position(1, 0), Position(0, 1), Position(1, 1)]


def test_numbers_begin_anew_with_the_next_day_after_what_is_left_of_the_last(rules: MarketRules) -> None:
    log = [message(0, 0, 1), message(0, 1, 2), message(0, 2, 1, day=1), message(1, 0, 3), message(1, 1, 2, day=1)]
    answer = golden_answer(log, set(), rules, TIMES, recorded({(0, 0): 1, (1, 0): 2, (1, 1): 1, (0, 2): 2}))
    assert list(answer.ticks) == [Position(0, 0), Position(1, 0), Position(0, 1), Position(1, 1), Position(0, 2)]
    assert list(answer.sequences.values()) == [1, 2, 3, 1, 2]


def test_a_symbol_in_one_partition_stands_in_its_order_whatever_the_predictions_tell(rules: MarketRules) -> None:
    log = [message(0, offset, offset) for offset in range(3)]
    answer = golden_answer(log, set(), rules, TIMES, recorded({(0, 0): 3, (0, 1): 2, (0, 2): 1}))
    assert prices(answer) == [500.0, 500.1, 500.2]


def test_a_new_day_may_number_its_trades_afresh(rules: MarketRules) -> None:
    log = [message(0, 0, 1, "7"), message(0, 1, 2, "7"), message(0, 2, 1, "7", day=1)]
    answer = golden_answer(log, set(), rules, TIMES)
    assert answer.duplicates == {Position(0, 1)}
    assert len(answer.ticks) == 2


def test_what_was_set_aside_leaves_no_trace(rules: MarketRules) -> None:
    log = [message(0, offset, offset) for offset in range(4)]
    with_gap = golden_answer(log, {Position(0, 2)}, rules, TIMES)
    assert Position(0, 2) not in with_gap.ticks
    without = golden_answer([log[0], log[1], log[3]], set(), rules, TIMES)
    assert with_gap.own == without.own
    assert with_gap.outcomes == without.outcomes


def test_a_message_that_is_no_tick_is_told_with_its_reason(rules: MarketRules) -> None:
    wrong_key = message(0, 1, 1)._replace(key="HDL")
    log = [Message(Position(0, 0), NOON, None), wrong_key, message(0, 2, 1)]
    answer = golden_answer(log, set(), rules, TIMES)
    assert answer.invalid.keys() == {Position(0, 0), Position(0, 1)}
    assert "'HDL' is not its symbol" in answer.invalid[Position(0, 1)]
    assert len(answer.ticks) == 1


def test_an_empty_log_gives_nothing(rules: MarketRules) -> None:
    answer = golden_answer([], set(), rules, TIMES)
    assert (answer.ticks, answer.bars, len(answer.own)) == ({}, {}, 0)
