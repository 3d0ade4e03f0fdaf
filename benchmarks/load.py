"""An open-loop load: each tick is sent when it is due, however the rest of the system is doing.

Run as a process of its own, so that the clocks of sender and reader share no interpreter. It prints one JSON line with
the moment from which the due times count, before the first tick, and one with how punctual it was, after the last.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import Shape, ticks_of_shape
from console.kafka_io import connection_config
from feeds.producer import TickProducer
from jobs.settings import Settings
from jobs.topics import Topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from state.tick import Tick

_HEAD_START_S = 1.0


def due_times(count: int, rate: float, start: float) -> list[float]:
    """When each tick is due, s since the epoch: evenly, whatever happens."""
    return [start + number / rate for number in range(count)]


def numbered(ticks: Sequence[Tick], first: int = 0) -> list[Tick]:
    """The same ticks, each with a trade id that ends in its number, from `first` on; the contract group stays."""
    return [
        tick._replace(trade_id=f"{(tick.trade_id or '')[:10]}{number:08d}") for number, tick in enumerate(ticks, first)
    ]


def number_of(trade_id: str) -> int:
    """The number of a tick out of its trade id."""
    return int(trade_id[-8:])


def send_on_time(
    ticks: Sequence[Tick],
    due: Sequence[float],
    send: Callable[[Tick], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> list[float]:
    """Sends each tick when it is due, its event time being that moment.

    Returns:
        How late each one was handed over, s.
    """
    late = []
    for tick, moment in zip(ticks, due, strict=True):
        if (wait := moment - clock()) > 0:
            sleep(wait)
        send(tick._replace(event_time=int(moment * 1000)))
        late.append(clock() - moment)
    return late


def main() -> None:
    """Sends what the arguments say to the settings' broker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--symbols", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    settings = Settings()
    count = round(asked.rate * asked.seconds)
    ticks = numbered(ticks_of_shape(Shape(asked.symbols, count), asked.rate), asked.first)
    gc.freeze()
    gc.disable()
    with TickProducer(connection_config(settings.kafka), topic_name(Topic.TICKS, settings.kafka)) as producer:
        start = time.time() + _HEAD_START_S
        print(json.dumps({"start": start, "count": count}), flush=True)  # noqa: T201 - the answer to whoever started it
        late = np.array(send_on_time(ticks, due_times(count, asked.rate, start), producer.send)) * 1000
        producer.flush()
    answer = {
        "sent": count,
        "late_ms_p99": round(float(np.percentile(late, 99)), 2),
        "late_ms_max": round(late.max(), 2),
    }
    print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
