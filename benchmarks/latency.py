"""How long a tick is on its way at NEPSE's busiest rate: to the Redis view, and to a read-committed reader.

The load is open-loop: a tick is due at a moment that no delay can move, and its latency counts from that moment, so a
system that stalls can't hide it by holding the sender up (coordinated omission). Its event time is that moment too.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import redis

from benchmarks.data import PEAK_RATE
from benchmarks.load import number_of
from benchmarks.results import percentiles
from console.errors import CommandError
from console.job import submit_job
from console.kafka_io import open_consumer, poll
from console.stack.topics import create_topics
from console.view import STREAM_KEY
from jobs.settings import PROJECT_ROOT
from jobs.topics import Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.bench_stack import BenchStack
    from jobs.settings import Settings

_PREFIX = "bench-latency"
_LINGER_S = 30.0
"""So long after the last tick its prediction may come."""
_PAGE = 20_000


def measure_latency(
    stack: BenchStack, seconds: float, warm_up_s: float, symbols: int, workers: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Runs the job and the view, sends ticks, and watches when their predictions appear.

    Args:
        stack: Where.
        seconds: How long is measured.
        warm_up_s: How long the same load runs before.
        symbols: Over how many symbols.
        workers: Slots of the job.
        say: Told, line by line, what is being done.

    Raises:
        CommandError: The job, the view or the load did not do what they should.
    """
    with job_and_view(stack, _PREFIX, workers) as settings:
        say(f"{PEAK_RATE:g} ticks/s for {warm_up_s:g} s of warm-up and {seconds:g} s …")
        sent = send_and_watch(settings, warm_up_s + seconds, symbols)
        ways = both_ways(settings, sent, left_out=round(warm_up_s * PEAK_RATE))
    for name, figures in ways.items():
        say(f"to {name}: {figures}")
    return {
        "rate_per_s": PEAK_RATE,
        "symbols": symbols,
        "warm_up_s": warm_up_s,
        **ways,
        "load": sent.punctuality,
    }


@contextmanager
def job_and_view(stack: BenchStack, prefix: str, workers: int) -> Iterator[Settings]:
    """The job and the Redis view at work on topics of this prefix; all but the broker is stopped in the end."""
    settings = stack.settings(prefix, workers)
    try:
        stack.start("redis", "flink")
        create_topics(settings)
        stack.start("view")
        submit_job(settings)
        yield settings
    finally:
        stack.stop("view", "flink", "redis")


class Sent(NamedTuple):
    """A load that has been sent, and what was seen of its predictions.

    Attributes:
        start: When the first tick was due, s since the epoch.
        first: Number of the first tick.
        ticks: How many there were.
        seen: When a read-committed reader had each tick's prediction, s since the epoch, by its number.
        punctuality: How late the ticks were handed over.
    """

    start: float
    first: int
    ticks: int
    seen: dict[int, float]
    punctuality: dict[str, float]

    def due(self, left_out: int = 0) -> dict[int, float]:
        """When each tick was due, s since the epoch, by its number, but for so many at the beginning."""
        return {self.first + number: self.start + number / PEAK_RATE for number in range(left_out, self.ticks)}


def send_and_watch(settings: Settings, seconds: float, symbols: int, first: int = 0) -> Sent:
    """Sends ticks at NEPSE's busiest rate, and reads their predictions as they are committed.

    Args:
        settings: Where.
        seconds: How long.
        symbols: Over how many symbols.
        first: Number of the first tick; no number may be used twice.

    Raises:
        CommandError: The load could not be sent.
    """
    command = [sys.executable, "-m", "benchmarks.load", f"--rate={PEAK_RATE}", f"--symbols={symbols}"]
    with (
        closing(open_consumer(settings.kafka, [Topic.PREDICTIONS])) as consumer,
        subprocess.Popen(
            [*command, f"--seconds={seconds}", f"--first={first}"], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True
        ) as load,
    ):
        try:
            began = json.loads(_line(load))
            seen: dict[int, float] = {}
            deadline = began["start"] + seconds + _LINGER_S
            gc.disable()
            while len(seen) < began["count"] and time.time() < deadline:
                records = poll(consumer, timeout_ms=100)
                now = time.time()
                for record in records:
                    if (number := number_of(orjson.loads(record.value)["trade_id"])) >= first:
                        seen.setdefault(number, now)
            gc.enable()
            punctuality = json.loads(_line(load))
        finally:
            load.terminate()
    return Sent(began["start"], first, began["count"], seen, punctuality)


def both_ways(settings: Settings, sent: Sent, left_out: int = 0) -> dict[str, dict[str, float | int]]:
    """The latencies of a load, but for so many ticks at the beginning: to Redis, and to a committed read."""
    due = sent.due(left_out)
    return {"redis": latencies(due, written_at(settings, sent.start)), "committed": latencies(due, sent.seen)}


def _line(load: subprocess.Popen[str]) -> str:
    line = load.stdout.readline() if load.stdout is not None else ""
    if not line:
        raise CommandError("the load could not be sent; what it said is above")
    return line


def latencies(due: Mapping[int, float], appeared: Mapping[int, float]) -> dict[str, float | int]:
    """Percentiles in ms, and how many ticks never appeared.

    Args:
        due: When each tick was due, s since the epoch.
        appeared: When its prediction was first there, s since the epoch.
    """
    ways = [(appeared[number] - moment) * 1000 for number, moment in due.items() if number in appeared]
    return percentiles(ways) | {"missing": len(due) - len(ways)}


def written_at(settings: Settings, since: float) -> dict[int, float]:
    """When the view first wrote each tick's prediction, s since the epoch, as its stream's ids tell.

    Args:
        settings: Where.
        since: When the first tick was due, s since the epoch: the stream also has the loads before, whose ticks may
            have had the same numbers.
    """
    client = redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True)
    written: dict[int, float] = {}
    position = str(int(since * 1000))
    try:
        while page := client.xrange(STREAM_KEY, position, "+", _PAGE):
            for entry, fields in page:  # type: ignore[union-attr] # the client is not asynchronous
                written.setdefault(number_of(fields["trade_id"]), int(entry.partition("-")[0]) / 1000)
            position = f"({page[-1][0]}"  # type: ignore[index]
    finally:
        client.close()
    return written
