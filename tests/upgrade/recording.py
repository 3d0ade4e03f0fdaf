"""Writing a golden savepoint of the present state form, with the topics as they were at its moment.

Run it once for each form that is released, and keep what it writes::

    .venv/bin/python tests/upgrade/recording.py

A folder `savepoints/form-N` holds the savepoint and, in `topics.jsonl.gz`, every committed message of every topic.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import orjson

sys.path.insert(0, str(Path(__file__).parents[2]))

from console.errors import CommandError
from console.job import stop_job
from console.kafka_io import connection_config, read_committed
from console.trial.stack import trial_stack
from console.verify import verify_topics
from feeds.producer import TickProducer
from jobs.topics import Topic, topic_name
from state import codec
from state.tick import Tick

if TYPE_CHECKING:
    from jobs.settings import Settings

SAVEPOINTS = Path(__file__).with_name("savepoints")
TOPICS = "topics.jsonl.gz"
PREFIX = "golden{form}"
VERSION = "nepse-2024-06-27"
"""The model version that scores; not the active one, which will be another some day. It must stay as it was: the
recorded predictions are compared with what it says."""
MARKET_LAG_S = "3"
"""The default when the first savepoint was recorded; it stays for the same reason."""
OPEN = 1_719_898_200_000
"""2024-07-02 05:30 UTC, in the session of a day that is long over."""
SYMBOLS = ("NABIL", "NICA", "HDL", "SHIVM", "UPPER", "GBIME")
_EVERY_MS = 1_500
_WAIT_S = 120


def trades(numbers: range) -> list[Tick]:
    """Trades of the recorded morning, by number; the same number is the same trade."""
    return [
        Tick(
            SYMBOLS[number % len(SYMBOLS)],
            400.0 + number % 13 + number % 7 / 2,
            10 + number % 5,
            OPEN + number * _EVERY_MS,
            f"{number}",
        )
        for number in numbers
    ]


def send(settings: Settings, numbers: range) -> None:
    """Sends trades, each symbol's to the partition of its key."""
    with TickProducer(connection_config(settings.kafka), topic_name(Topic.TICKS, settings.kafka)) as producer:
        for trade in trades(numbers):
            producer.send(trade)


def await_predictions(settings: Settings, count: int) -> None:
    """Waits until so many predictions are committed.

    Raises:
        CommandError: They are not, in time.
    """
    deadline = time.monotonic() + _WAIT_S
    while verify_topics(settings).predictions < count:
        if time.monotonic() > deadline:
            raise CommandError(f"there are not {count} predictions after {_WAIT_S} s")
        time.sleep(0.5)


def dump(settings: Settings, file: Path) -> None:
    """Writes every committed message of every topic, one JSON object a line."""
    with gzip.GzipFile(file, "wb", mtime=0) as out:
        for topic in Topic:
            for record in read_committed(settings.kafka, [topic]):
                line = {
                    "topic": topic.value,
                    "partition": record.partition,
                    "timestamp": record.timestamp,
                    "key": None if record.key is None else b64encode(record.key).decode(),
                    "value": None if record.value is None else b64encode(record.value).decode(),
                }
                out.write(orjson.dumps(line) + b"\n")


def main() -> None:
    """Runs the job on a stack of its own, stops it in mid-morning, and keeps what it had."""
    place = SAVEPOINTS / f"form-{codec.VERSION}"
    prefix = PREFIX.format(form=codec.VERSION)
    variables = {
        "TICKCAST_KAFKA__TOPIC_PREFIX": prefix,
        "TICKCAST_MODEL__VERSION": VERSION,
        "TICKCAST_MARKET__LAG_S": MARKET_LAG_S,
    }
    with trial_stack("golden", print, variables) as trial:
        send(trial.settings, range(600))
        await_predictions(trial.settings, 600)
        savepoint = Path(unquote(urlsplit(stop_job(trial.settings)).path))
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(savepoint, place)
        dump(trial.settings, place / TOPICS)
        trial.failed = False
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    print(f"{place}: {size / 1000:,.0f} kB")  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
