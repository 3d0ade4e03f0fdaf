"""A rehearsal before the market opens: a short job on made-up trades, in topics of its own that are removed again.

What a Java process does for the first time it does slowly: it loads classes, runs methods that are not compiled yet,
opens clients. Whatever the job does to a trade, the rehearsal has done to thousands before, in the same processes:
sources, the market's seconds, state, features, model, serializers, sinks.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING

from kafka.errors import KafkaError

from console.errors import CommandError
from console.flink_rest import FlinkRest
from console.flink_run import FlinkRun
from console.kafka_io import connection_config, open_admin
from console.stack.topics import create_topics
from feeds.producer import TickProducer
from feeds.simulator.day import DayParameters, simulate_day
from feeds.simulator.universe import make_universe
from feeds.trades import ticks_of
from jobs.topics import Topic, consumer_group, topic_name, topic_specs

if TYPE_CHECKING:
    from jobs.settings import Settings

_SYMBOLS, _TRADES, _SEED = 300, 5_000, 1
"""A method is compiled after some hundred calls; every symbol has trades."""
_DAY = date(2024, 7, 21)
_TIMEOUT_S = 120
_POLL_S = 0.25


def rehearse(settings: Settings) -> None:
    """Have the cluster do once what it is about to do; nothing of it stays.

    Args:
        settings: The job's; its slots must be free.

    Raises:
        CommandError: The rehearsal did not end well, and why.
    """
    stage = _stage(settings)
    create_topics(stage)
    try:
        _send_trades(stage)
        run = FlinkRun(stage, "tickcast rehearsal")
        run.submit("")
        _await_end(FlinkRest(settings.flink.rest_address), run.job_id)
    finally:
        _clear(stage)


def _stage(settings: Settings) -> Settings:
    """The same settings for topics of other names, which are read to their present end."""
    kafka = settings.kafka.model_copy(update={"topic_prefix": f"{settings.kafka.topic_prefix}-rehearsal"})
    flink = settings.flink.model_copy(update={"bounded": True})
    return settings.model_copy(update={"kafka": kafka, "flink": flink})


def _send_trades(stage: Settings) -> None:
    day = DayParameters(day=_DAY, trades=_TRADES, seed=_SEED, halt=False)
    with TickProducer(connection_config(stage.kafka), topic_name(Topic.TICKS, stage.kafka)) as producer:
        for tick in ticks_of(simulate_day(make_universe(_SYMBOLS, _SEED), day)):
            producer.send(tick)


def _await_end(rest: FlinkRest, job_id: str) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        job = next(job for job in rest.jobs() if job.id == job_id)
        if job.state == "FINISHED":
            return
        if job.ended:
            raise CommandError(f"the rehearsal ended as {job.state}: {rest.root_cause(job_id) or 'it says no reason'}")
        time.sleep(_POLL_S)
    cause = rest.root_cause(job_id)
    rest.cancel(job_id)
    raise CommandError(
        f"the rehearsal was not over after {_TIMEOUT_S} s ({cause or 'no failure'}) and was cancelled;"
        " submit without it, or see the JobManager's log"
    )


def _clear(stage: Settings) -> None:
    readers = [consumer_group(f"job-{name}", stage.kafka) for name in ("ticks", "market-ticks", "commands")]
    admin = open_admin(stage.kafka)
    try:
        admin.delete_topics([spec.name for spec in topic_specs(stage.kafka, stage.event_time)])
        with suppress(KafkaError):  # a reader that committed nothing has no group
            admin.delete_groups(readers)
    finally:
        admin.close()
