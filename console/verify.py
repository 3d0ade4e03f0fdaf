"""``tickcast verify``: the result topics against the golden answer, to the last message.

The whole log of ticks is folded again by the code that the job runs, and every committed result is compared. What is
taken as recorded, because arrival decided it and nothing in the log can tell:

- that a tick was late: its message must be true and its time behind the watermark that it tells, but how far the
  watermark had come is the job's word. The same holds for the clock in a dead letter;
- which trades a market snapshot holds. There must be one for every second, a prediction must name its own second's,
  or none, and its probabilities are computed from the snapshot that it names; index halts must follow from the
  snapshots, and every silence of the log must have its halt;
- the order of a symbol's ticks that stand in several partitions, because they were sent without a key: the
  predictions' `sequence` tells it. Where a key keeps a symbol in one partition, the log does;
- that a trade was predicted after its minute's score was told, because the stream had stopped, or after a restart:
  `produced_at` tells it. The scores of windows with that minute, and drift from then on, are not compared;
- the wording of a dead letter's reason, and the clock times `produced_at` and `received_at`.

It speaks of a job at rest. What event time has not reached is pending, not lost; a tick that the job has not read
yet is lost until it has. It needs the whole log, the rules and settings that the job ran with, and every model
version that scored. Transactions that are open or were aborted are not seen.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console

from console.compare import (
    compare_alerts,
    compare_bars,
    compare_market,
    compare_set_aside,
    golden_dead_letter,
    golden_late,
    settled_up_to,
    source,
)
from console.compare_quality import compare_drifts, compare_scores, golden_quality, straggling_minutes
from console.compare_scored import ACTIVE, Predictions, compare_outcomes
from console.errors import CommandError
from console.golden import Message, Position, golden_answer
from console.kafka_io import read_committed
from console.messages import Messages
from console.verdict import Verdict, show
from jobs.settings import Settings
from jobs.topics import Topic, topic_name
from state.intake import Intake
from state.quality_watch import QualityWatch
from state.rules import load_rules
from state.tick import BadTickError, TickParser
from udfs.artifact import ArtifactError
from udfs.observer import DriftBaselines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafka.consumer.fetcher import ConsumerRecord

    from console.golden import GoldenAnswer
    from state.rules import MarketRules


def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")] = False,
) -> None:
    """Recompute every result offline from the ticks' topic, and compare. Exit code 1 unless all is clean."""
    verdict = verify_topics(Settings())
    if as_json:
        typer.echo(orjson.dumps(verdict.as_json()).decode())
    else:
        show(verdict, Console())
    if not verdict.clean:
        raise typer.Exit(1)


def verify_topics(settings: Settings) -> Verdict:
    """Reads all topics and compares.

    Raises:
        CommandError: No broker answers, a topic is missing or holds what tickcast has not written, the market's
            rules can't be read, or a model version that scored is not there.
    """
    try:
        rules = load_rules(settings.market.rules_file)
        return _compare_all(_read_ticks(settings, rules), _read_results(settings), settings, rules)
    except (ArtifactError, ValueError) as error:
        raise CommandError(str(error)) from error
    except (KeyError, TypeError) as error:
        raise CommandError(
            f"a message of the result topics is not of this version's form ({error!r}); verify with the version that"
            " wrote it"
        ) from error


def _compare_all(
    messages: dict[Position, Message], found: dict[Topic, Messages], settings: Settings, rules: MarketRules
) -> Verdict:
    times = settings.event_time.in_ms()
    intake = Intake(rules, times)
    late, dead = ({source(one) for one in found[topic]} for topic in (Topic.LATE, Topic.DEAD_LETTERS))
    recorded = {source(one): one["sequence"] for one in found[Topic.PREDICTIONS]}
    answer = golden_answer(messages.values(), late | dead, rules, times, recorded)

    snapshots = found[Topic.MARKET].by(itemgetter("market_time")).in_order()
    lag_s = settings.market.lag_s
    predictions = Predictions(found[Topic.PREDICTIONS], answer, snapshots, lag_s)
    watermark = _passed(messages.values(), times.out_of_orderness)
    horizon = settled_up_to(found[Topic.BARS], found[Topic.OUTCOMES], answer, watermark)
    seconds = _seconds(messages, answer, rules)
    scored = predictions.compare(settings.model.directory)
    baselines = DriftBaselines(settings.model.directory)
    quality = golden_quality(
        predictions.observed,
        QualityWatch(baselines, settings.model.score_minutes, rules.alerts.drift),
        [*found[Topic.SCORES], *found[Topic.ALERTS]],
        # The scores' watermark is also held back by that of the snapshots.
        min(watermark, max(snapshots, default=0) - times.out_of_orderness - 1000),
        straggling_minutes(found[Topic.PREDICTIONS], found[Topic.SCORES]),
    )

    verdict = Verdict(ticks_in=len(messages), late=len(late), duplicates=len(answer.duplicates), dead_letters=len(dead))
    of_active = [one["market_time"] for (_, role), one in predictions.by_key.items() if role == ACTIVE]
    verdict.predictions, verdict.without_market = len(of_active), of_active.count(None)
    dead_letter = partial(golden_dead_letter, intake=intake, topic=topic_name(Topic.TICKS, settings.kafka))
    verdict.topics = {
        Topic.LATE.value: compare_set_aside(found[Topic.LATE], messages, partial(golden_late, intake=intake)),
        Topic.DEAD_LETTERS.value: compare_set_aside(found[Topic.DEAD_LETTERS], messages, dead_letter),
        Topic.PREDICTIONS.value: scored,
        Topic.OUTCOMES.value: compare_outcomes(found[Topic.OUTCOMES], predictions, answer, horizon),
        Topic.BARS.value: compare_bars(found[Topic.BARS], answer, horizon),
        Topic.SCORES.value: compare_scores(found[Topic.SCORES], quality, settings.model.score_minutes),
        Topic.ALERTS.value: compare_alerts(found[Topic.ALERTS], answer, snapshots, seconds, rules)
        + compare_drifts(found[Topic.ALERTS], quality),
        Topic.MARKET.value: compare_market(
            found[Topic.MARKET],
            {one["market_time"] // 1000 for one in found[Topic.PREDICTIONS] if one["market_time"] is not None},
            rules,
        ),
    }
    verdict.topics[Topic.DEAD_LETTERS.value].lost = len(answer.invalid)
    return verdict


def _read_ticks(settings: Settings, rules: MarketRules) -> dict[Position, Message]:
    parser = None
    if settings.event_time.source == "payload":
        parser = TickParser(rules.symbols.pattern, rules.limits.max_price, rules.limits.max_volume)
    messages = (_message(record, parser) for record in read_committed(settings.kafka, [Topic.TICKS]))
    return {message.position: message for message in messages}


def _message(record: ConsumerRecord, parser: TickParser | None) -> Message:
    """A record of the ticks' topic; with a parser its own `timestamp` is the clock of the watermark."""
    event_time = record.timestamp
    if parser is not None:
        with suppress(BadTickError):
            event_time = parser.parse(record.value, record.timestamp).event_time
    # As the engine reads it.
    key = record.key.decode("utf-8", errors="replace") if record.key else None
    return Message(Position(record.partition, record.offset), event_time, record.value, key)


def _read_results(settings: Settings) -> dict[Topic, Messages]:
    found: dict[Topic, Messages] = {topic: Messages() for topic in Topic if topic not in (Topic.TICKS, Topic.MODELS)}
    topics = {topic_name(topic, settings.kafka): topic for topic in found}
    for record in read_committed(settings.kafka, list(found)):
        found[topics[record.topic]].append(record.value)
    return found


def _passed(messages: Iterable[Message], out_of_orderness: int) -> int:
    """Event time (ms) that the watermark has surely passed: the slowest partition's newest record, less the bound."""
    newest: dict[int, int] = {}
    for message in messages:
        partition = message.position.partition
        newest[partition] = max(newest.get(partition, 0), message.record_time)
    return min(newest.values(), default=0) - out_of_orderness - 1


def _seconds(messages: dict[Position, Message], answer: GoldenAnswer, rules: MarketRules) -> set[int]:
    """Every second in which the log has anything but the index, which an exchange may publish through a halt."""
    index = rules.symbols.index
    of_index = {position for position, tick in answer.ticks.items() if tick.symbol == index}
    return {message.record_time // 1000 for position, message in messages.items() if position not in of_index}
