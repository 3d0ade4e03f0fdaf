from __future__ import annotations

from operator import itemgetter

import orjson
import pytest

from console.messages import Messages

SAID = [{"second": 3, "text": "a"}, {"second": 1, "text": "b"}, {"second": 3, "text": "c"}]


@pytest.fixture
def messages() -> Messages:
    found = Messages()
    for one in SAID:
        found.append(orjson.dumps(one))
    return found


def test_messages_are_gone_through_more_than_once_in_the_order_of_reading(messages: Messages) -> None:
    assert list(messages) == list(messages) == SAID
    assert len(messages) == 3
    assert SAID[1] in messages
    assert {"second": 1} not in messages


def test_of_messages_with_one_key_the_first_counts_and_they_can_be_had_in_the_order_of_keys(messages: Messages) -> None:
    by_second = messages.by(itemgetter("second"))
    assert dict(by_second) == {3: SAID[0], 1: SAID[1]}
    assert list(by_second.in_order()) == [1, 3]
    assert by_second.keys() - {1} == {3}
    assert by_second.get(2) is None
