"""Requests to the model on their way, and back."""

from __future__ import annotations

import numpy as np

from state.features import MARKET_COUNT, OWN_COUNT
from state.outcomes import Realised
from state.requests import Request, Subject, outcomes_blocks, pack_blocks, predictions_blocks, read_blocks


def answered(number: int, versions: tuple[str, ...] = ("v1",)) -> Request:
    subject = Subject("NABIL", 1_000 + number, f"é{number}" if number % 2 else None, 500.1, 2, 2**40 + number, 7)
    request = Request(subject, np.full(OWN_COUNT, number, np.float32).tobytes(), -1, 12)
    request.columns = np.full(MARKET_COUNT, -number, np.float32).tobytes()
    request.market_time = 12_000 if number else None
    request.versions = versions
    return request


def realised(request: Request) -> Realised:
    subject = request.subject
    return Realised(
        subject.event_time, subject.event_time + 60_000, subject.partition, subject.offset, subject.price, 501.0, "up"
    )


def test_a_block_holds_the_features_of_its_requests_one_behind_the_other_and_what_to_tell() -> None:
    requests = [answered(number, ("v1", "v2")) for number in range(3)]
    (block,) = read_blocks(pack_blocks(predictions_blocks(requests)))
    rows = np.frombuffer(block.rows, np.float32).reshape(3, OWN_COUNT + MARKET_COUNT)
    assert rows[:, 0].tolist() == [0, 1, 2]
    assert rows[:, -1].tolist() == [0, -1, -2]
    assert block.versions == ("v1", "v2")
    assert [asked.subject for asked in block.asked] == [request.subject for request in requests]
    assert [asked.market_time for asked in block.asked] == [None, 12_000, 12_000]
    assert {asked.outcome for asked in block.asked} == {None}


def test_outcomes_are_scored_by_the_versions_that_predicted_them() -> None:
    requests = [answered(0), answered(1, ("v2",)), answered(2)]
    blocks = list(read_blocks(pack_blocks(outcomes_blocks((request, realised(request)) for request in requests))))
    told = {block.versions: [asked.subject.event_time for asked in block.asked] for block in blocks}
    assert told == {("v1",): [1_000, 1_002], ("v2",): [1_001]}
    assert tuple(blocks[0].asked[0].outcome or ()) == (61_000, "up", 501.0)


def test_a_prediction_in_place_of_older_ones_names_them_all_and_they_are_skipped() -> None:
    first, second, third = answered(0), answered(1), answered(2)
    second.replace(first)
    third.replace(second)
    assert [one.is_skipped for one in (first, second, third)] == [True, True, False]
    (block,) = read_blocks(pack_blocks(predictions_blocks([third, answered(3)])))
    assert [[tuple(place) for place in one.conflated] for one in block.asked] == [[(2, 2**40), (2, 2**40 + 1)], []]
