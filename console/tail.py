"""``tickcast tail``: the committed messages of a topic, for people and for programs."""

from __future__ import annotations

import os
import sys
from base64 import b64decode
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import orjson
import typer
from rich.console import Console
from rich.text import Text

from console.errors import CommandError
from console.kafka_io import TopicEnd, open_consumer, poll
from jobs.settings import Settings
from jobs.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jobs.settings import KafkaSettings

_POLL_TIMEOUT_MS = 250
_STYLES = {"up": "green", "down": "red"}
_RAW_SHOWN = 60


def _moment(value: int) -> str:
    return datetime.fromtimestamp(value / 1000, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00") + "Z"


def _number(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:,.{digits}f}"


def _source(value: dict[str, int]) -> str:
    return f"{value['partition']}/{value['offset']}"


def _raw(value: str) -> str:
    return ascii(b64decode(value)[:_RAW_SHOWN].decode("utf-8", "replace"))


def _measures(**names: str) -> Callable[[dict[str, float | None]], str]:
    def show(measures: dict[str, float | None]) -> str:
        values = ((name, measures[field]) for field, name in names.items())
        return ", ".join(f"{name} {'-' if value is None else format(value, '.3f')}" for name, value in values)

    return show


class _Column(NamedTuple):
    field: str
    width: int
    show: Callable[[Any], str] = str


_TIME_WIDTH = 24
_SYMBOL = _Column("symbol", -11)
_COLUMNS: dict[Topic, tuple[_Column, ...]] = {
    Topic.TICKS: (
        _Column("timestamp", -_TIME_WIDTH, lambda value: _moment(value) if isinstance(value, int) else str(value)),
        _SYMBOL,
        _Column("price", 11, _number(2)),
        _Column("volume", 9, _number(0)),
        _Column("trade_id", -18),
    ),
    Topic.PREDICTIONS: (
        _Column("event_time", -_TIME_WIDTH, _moment),
        _SYMBOL,
        _Column("price", 11, _number(2)),
        _Column("direction", -5),
        _Column("p_up", 6, _number(3)),
        _Column("p_flat", 6, _number(3)),
        _Column("p_down", 6, _number(3)),
        _Column("role", -6),
        _Column("model_version", -24),
    ),
    Topic.BARS: (
        _Column("window_start", -_TIME_WIDTH, _moment),
        _SYMBOL,
        _Column("interval", -3),
        _Column("open", 11, _number(2)),
        _Column("high", 11, _number(2)),
        _Column("low", 11, _number(2)),
        _Column("close", 11, _number(2)),
        _Column("vwap", 11, _number(2)),
        _Column("volume", 10, _number(0)),
        _Column("trades", 6, _number(0)),
    ),
    Topic.ALERTS: (
        _Column("event_time", -_TIME_WIDTH, _moment),
        _SYMBOL,
        _Column("rule", -16),
        _Column("value", 11, _number(3)),
        _Column("threshold", 11, _number(3)),
        _Column("message", 0),
    ),
    Topic.OUTCOMES: (
        _Column("event_time", -_TIME_WIDTH, _moment),
        _SYMBOL,
        _Column("direction", -5),
        _Column("realised", -5),
        _Column("return_bps", 9, _number(1)),
        _Column("log_loss", 7, _number(3)),
        _Column("brier", 6, _number(3)),
        _Column("role", -6),
        _Column("model_version", -24),
    ),
    Topic.SCORES: (
        _Column("window_end", -_TIME_WIDTH, _moment),
        _Column("trades", 7, _number(0)),
        _Column("non_flat", -27, _measures(auc="AUC", accuracy="accuracy")),
        _Column("three_class", -14, _measures(log_loss="log loss")),
        _Column("ece_p_up", -9, lambda error: f"ECE {error:.3f}"),
        _Column("role", -6),
        _Column("model_version", -24),
    ),
    Topic.LATE: (
        _Column("event_time", -_TIME_WIDTH, _moment),
        _Column("watermark", -_TIME_WIDTH, _moment),
        _SYMBOL,
        _Column("price", 11, _number(2)),
        _Column("volume", 9, _number(0)),
        _Column("trade_id", -18),
        _Column("source", -12, _source),
    ),
    Topic.DEAD_LETTERS: (
        _Column("received_at", -_TIME_WIDTH, _moment),
        _Column("source", -12, _source),
        _Column("reason", -50),
        _Column("raw", 0, _raw),
    ),
}
"""What a line for people shows, left to right; a negative width aligns left.

Any other topic shows all its fields but lists.
"""


def message_line(topic: Topic, fields: dict[str, Any]) -> str:
    """A message as one line of aligned columns, safe to print on a terminal."""
    columns = _COLUMNS.get(topic)
    if columns is None:
        parts = [
            f"{name}={_moment(value) if name.endswith('_time') and isinstance(value, int) else value}"
            for name, value in fields.items()
            if not isinstance(value, list)
        ]
    else:
        parts = [_cell(column, fields.get(column.field)) for column in columns]
    line = "  ".join(parts).rstrip()
    # A message is foreign text: it must not move the cursor or ring the bell.
    return line if line.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _cell(column: _Column, value: object) -> str:
    try:
        text = "-" if value is None else column.show(value)
    except (TypeError, ValueError, KeyError):
        text = str(value)
    return text.ljust(-column.width) if column.width < 0 else text.rjust(column.width)


def messages(
    kafka: KafkaSettings,
    topic: Topic,
    *,
    from_beginning: bool,
    until_end: bool,
    symbol: str | None = None,
) -> Generator[bytes]:
    """Committed messages of a topic as they are stored, in order within each partition.

    Args:
        kafka: Where the broker is.
        topic: What to read.
        from_beginning: Begin with the oldest message instead of the next one.
        until_end: Stop at what is the topic's end now instead of waiting for more.
        symbol: Only messages of this symbol.
    """
    consumer = open_consumer(kafka, [topic])
    try:
        if not from_beginning:
            consumer.seek_to_end()
        end = TopicEnd(consumer) if until_end else None
        while end is None or not end.reached():
            for record in poll(consumer, _POLL_TIMEOUT_MS):
                if record.value is not None and (symbol is None or _symbol(record.value) == symbol):
                    yield record.value
    finally:
        consumer.close()


def _symbol(value: bytes) -> object:
    fields = _fields(value)
    return fields.get("symbol")


def _fields(value: bytes) -> dict[str, Any]:
    """The message's fields; one that is no JSON object is its own only field."""
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError:
        fields = None
    return fields if isinstance(fields, dict) else {"message": ascii(value)}


def tail(
    topic: Annotated[Topic, typer.Argument(help="Topic to show.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One message a line, as it is stored.")] = False,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with the oldest message.")] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at the topic's present end.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Stop after this many messages.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Show only this symbol.")] = None,
) -> None:
    """Show the committed messages of a topic, as they come; Ctrl-C ends it."""
    if symbol is not None and topic in (Topic.DEAD_LETTERS, Topic.MARKET, Topic.MODELS, Topic.SCORES):
        raise CommandError(f"messages of {topic.value} have no symbol; leave out --symbol")
    chosen = messages(Settings().kafka, topic, from_beginning=from_beginning, until_end=until_end, symbol=symbol)
    terminal = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    try:
        with suppress(KeyboardInterrupt):
            for number, value in enumerate(chosen, start=1):
                if as_json:
                    sys.stdout.buffer.write(value + b"\n")
                    sys.stdout.flush()
                else:
                    fields = _fields(value)
                    style = _STYLES.get(str(fields.get("direction")), "")
                    terminal.print(Text(message_line(topic, fields), style))
                if number == limit:
                    break
        chosen.close()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
