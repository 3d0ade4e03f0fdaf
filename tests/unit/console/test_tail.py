from __future__ import annotations

from base64 import b64encode

import pytest

from console.tail import message_line
from jobs.topics import Topic

PREDICTION = {
    "symbol": "NABIL",
    "event_time": 1_719_900_000_123,
    "price": 1234.5,
    "p_up": 0.25,
    "p_flat": 0.5,
    "p_down": 0.25,
    "direction": "flat",
    "model_version": "2024-07-01",
    "role": "active",
}


def test_a_prediction_is_one_line_in_the_order_people_read() -> None:
    assert message_line(Topic.PREDICTIONS, PREDICTION).split() == [
        "2024-07-02",
        "06:00:00.123Z",
        "NABIL",
        "1,234.50",
        "flat",
        "0.250",
        "0.500",
        "0.250",
        "active",
        "2024-07-01",
    ]


def test_a_score_shows_its_measures_and_a_dash_for_one_that_nothing_defines() -> None:
    score = {
        "model_version": "v1",
        "role": "shadow",
        "window_end": 1_719_900_000_000,
        "trades": 1234,
        "non_flat": {"auc": None, "accuracy": 0.6421},
        "three_class": {"log_loss": 0.9384},
        "ece_p_up": 0.0123,
    }
    assert message_line(Topic.SCORES, score) == (
        "2024-07-02 06:00:00.000Z    1,234  AUC -, accuracy 0.642        log loss 0.938  ECE 0.012  shadow  v1"
    )


def test_lines_of_different_symbols_and_prices_are_aligned() -> None:
    long = message_line(Topic.PREDICTIONS, {**PREDICTION, "symbol": "NABILP", "price": 9.1})
    assert long.index(" flat ") == message_line(Topic.PREDICTIONS, PREDICTION).index(" flat ")


def test_a_field_that_is_missing_or_of_another_kind_does_not_hide_the_others() -> None:
    line = message_line(Topic.PREDICTIONS, {"symbol": "NABIL", "price": "dear", "event_time": None})
    assert line.split()[:3] == ["-", "NABIL", "dear"]


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x07", "\r", "\n", "\u202e", "\x9b"])
def test_a_message_can_not_move_the_cursor_of_the_terminal(hostile: str) -> None:
    line = message_line(Topic.ALERTS, {"symbol": "NABIL", "rule": "breakout", "message": f"up{hostile}down"})
    assert hostile not in line
    assert line.isprintable()


def test_the_raw_bytes_of_a_dead_letter_are_shown_as_text_without_control_characters() -> None:
    raw = b64encode(b'{"symbol": \x1b\xff').decode()
    line = message_line(Topic.DEAD_LETTERS, {"reason": "the message is not JSON", "raw": raw})
    assert r"""'{"symbol": \x1b\ufffd'""" in line


def test_the_market_shows_its_fields_by_name_without_the_model_s_long_row_of_numbers() -> None:
    line = message_line(Topic.MARKET, {"market_time": 1_719_900_000_000, "advancing": 120, "block": [0.0] * 40})
    assert line == "market_time=2024-07-02 06:00:00.000Z  advancing=120"
