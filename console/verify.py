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
- which ticks were not scored under overload: the prediction of a newer tick of the symbol must name them;
- the wording of a dead letter's reason, and the clock times `produced_at` and `received_at`.

It speaks of a job at rest. What event time has not reached is pending, not lost; a tick that the job has not read
yet is lost until it has. It needs the whole log, the rules and settings that the job ran with, and every model
version that scored. Transactions that are open or were aborted are not seen.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, NamedTuple

import orjson
import typer
from rich.console import Console

from console.compare import (
    compare_bars,
    compare_market,
    compare_market_alerts,
    compare_set_aside,
    compare_symbol_alerts,
    golden_dead_letter,
    golden_late,
    source,
)
from console.compare_quality import compare_drifts, compare_scores, golden_quality, straggling_minutes
from console.compare_scored import ACTIVE, Predictions, compare_outcomes, recorded_board
from console.errors import CommandError
from console.golden import END_OF_TIME, Message, Position, golden_answer
from console.kafka_io import read_committed
from console.messages import Messages, Spool, TickLog
from console.verdict import TopicVerdict, Verdict, show
from jobs.settings import Settings
from jobs.topics import Topic, topic_name
from state.intake import Intake
from state.quality_watch import QualityWatch
from state.rules import load_rules
from state.tick import BadTickError, TickParser
from udfs.artifact import ArtifactError
from udfs.observer import DriftBaselines

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord

    from console.compare import Progress
    from console.messages import Json
    from state.market_board import MarketBoard
    from state.quality_watch import Part
    from state.rules import MarketRules

TICKS_AT_ONCE = 100_000
"""About so many are folded and compared in memory at a time; a gigabyte."""
_RESULTS = tuple(topic for topic in Topic if topic not in (Topic.TICKS, Topic.MODELS))
_OF_SYMBOLS = (Topic.PREDICTIONS, Topic.OUTCOMES, Topic.BARS, Topic.ALERTS)


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
    with Spool() as spool:
        try:
            rules = load_rules(settings.market.rules_file)
            return _compare_all(_read_log(settings, rules, spool), _read_results(settings, spool), settings, rules)
        except (ArtifactError, ValueError) as error:
            raise CommandError(str(error)) from error
        except (KeyError, TypeError) as error:
            raise CommandError(
                f"a message of the result topics is not of this version's form ({error!r}); verify with the version"
                " that wrote it"
            ) from error


@dataclass
class _Log:
    """The ticks' topic."""

    ticks: TickLog
    seconds: set[int] = field(default_factory=set)
    """Each epoch second of anything but the index, which an exchange may publish through a halt."""
    newest: dict[int, int] = field(default_factory=dict)
    """Time of each partition's newest record, ms."""

    def passed(self, out_of_orderness: int) -> int:
        """Event time (ms) that the watermark has surely passed: the slowest partition's, less the bound."""
        return min(self.newest.values(), default=0) - out_of_orderness - 1


def _compare_all(log: _Log, found: dict[Topic, Messages], settings: Settings, rules: MarketRules) -> Verdict:
    times = settings.event_time.in_ms()
    late, dead = ({source(one) for one in found[topic]} for topic in (Topic.LATE, Topic.DEAD_LETTERS))
    snapshots = found[Topic.MARKET].by(itemgetter("market_time"))
    ground = _Ground(late | dead, recorded_board(snapshots), list(found[Topic.SCORES]), settings, rules)
    # Symbols have nothing to do with each other but in the market: a share of them is compared at a time.
    count = max(1, ceil(len(log.ticks) / TICKS_AT_ONCE))
    verdict = Verdict(
        ticks_in=len(log.ticks),
        late=len(late),
        dead_letters=len(dead),
        topics={topic.value: TopicVerdict() for topic in _RESULTS},
    )
    parts = _Parts()
    for number in range(count):
        share = {topic: list(found[topic].share(number, count)) for topic in _OF_SYMBOLS}
        _compare_share(log.ticks.share(number, count), share, ground, verdict, parts)

    watermark = log.passed(times.out_of_orderness)
    horizon = max([watermark, *(progress.reached for _, progress in parts.progress)])
    for topic, progress in parts.progress:
        verdict.topics[topic.value] = progress.settle(verdict.topics[topic.value], horizon)
    quality = golden_quality(
        parts.observed,
        QualityWatch(DriftBaselines(settings.model.directory), settings.model.score_minutes, rules.alerts.drift),
        [*ground.scores, *found[Topic.ALERTS]],
        # The scores' watermark is also held back by that of the snapshots.
        min(watermark, max(snapshots, default=0) - times.out_of_orderness - 1000),
        parts.stragglers,
    )
    intake = Intake(rules, times)
    dead_letter = partial(golden_dead_letter, intake=intake, topic=topic_name(Topic.TICKS, settings.kafka))
    aside = {one.position: one for one in log.ticks if one.position in ground.set_aside} if ground.set_aside else {}
    of_market = {
        Topic.LATE: compare_set_aside(found[Topic.LATE], aside, partial(golden_late, intake=intake)),
        Topic.DEAD_LETTERS: compare_set_aside(found[Topic.DEAD_LETTERS], aside, dead_letter),
        Topic.SCORES: compare_scores(ground.scores, quality, settings.model.score_minutes),
        Topic.ALERTS: compare_market_alerts(found[Topic.ALERTS], snapshots, log.seconds, rules)
        + compare_drifts(found[Topic.ALERTS], quality),
        Topic.MARKET: compare_market(found[Topic.MARKET], parts.demanded, rules),
    }
    for topic, one in of_market.items():
        verdict.add(topic.value, one)
    return verdict


class _Ground(NamedTuple):
    """What all shares are compared on."""

    set_aside: set[Position]
    board: MarketBoard
    scores: list[Json]
    settings: Settings
    rules: MarketRules


@dataclass
class _Parts:
    """What the shares give the market's topics, and what they wait for."""

    observed: list[Part] = field(default_factory=list)
    stragglers: set[int] = field(default_factory=set)
    demanded: set[int] = field(default_factory=set)
    progress: list[tuple[Topic, Progress]] = field(default_factory=list)


def _compare_share(
    ticks: TickLog, found: dict[Topic, list[Json]], ground: _Ground, verdict: Verdict, parts: _Parts
) -> None:
    """Compares what is about some of the symbols, and adds it to the verdict and the parts."""
    settings, rules = ground.settings, ground.rules
    recorded = {source(one): one["sequence"] for one in found[Topic.PREDICTIONS]}
    answer = golden_answer(ticks, ground.set_aside, rules, settings.event_time.in_ms(), recorded)
    predictions = Predictions(found[Topic.PREDICTIONS], answer, ground.board, settings.market.lag_s)
    scored = predictions.compare(settings.model.directory)
    outcomes, judged = compare_outcomes(found[Topic.OUTCOMES], predictions, answer)
    bars, closed = compare_bars(found[Topic.BARS], answer)
    of_active = [one["market_time"] for (_, role), one in predictions.by_key.items() if role == ACTIVE]

    verdict.duplicates += len(answer.duplicates)
    verdict.predictions += len(of_active)
    verdict.without_market += of_active.count(None)
    verdict.conflated += len(predictions.conflated)
    verdict.add(Topic.PREDICTIONS.value, scored)
    verdict.add(Topic.OUTCOMES.value, outcomes)
    verdict.add(Topic.BARS.value, bars)
    verdict.add(Topic.ALERTS.value, compare_symbol_alerts(found[Topic.ALERTS], answer))
    verdict.add(Topic.DEAD_LETTERS.value, TopicVerdict(lost=len(answer.invalid)))
    moments = {one["market_time"] for one in found[Topic.PREDICTIONS]}
    parts.demanded |= {moment // 1000 for moment in moments if moment is not None}
    parts.observed += predictions.observed
    parts.stragglers |= straggling_minutes(found[Topic.PREDICTIONS], ground.scores)
    parts.progress += [(Topic.OUTCOMES, judged), (Topic.BARS, closed)]


def _read_log(settings: Settings, rules: MarketRules, spool: Spool) -> _Log:
    parser = None
    if settings.event_time.source == "payload":
        parser = TickParser(rules.symbols.pattern, rules.limits.max_price, rules.limits.max_volume)
    intake = Intake(rules, settings.event_time.in_ms())
    log = _Log(TickLog(spool))
    for record in read_committed(settings.kafka, [Topic.TICKS]):
        message = _message(record, parser)
        position, time, value, key = message
        symbol = ""
        with suppress(BadTickError):
            symbol = intake.admit(value, len(value or b""), key, time, END_OF_TIME).symbol
        log.ticks.append(message, symbol)
        log.newest[position.partition] = max(log.newest.get(position.partition, 0), time)
        if symbol != rules.symbols.index:
            log.seconds.add(time // 1000)
    return log


def _message(record: ConsumerRecord, parser: TickParser | None) -> Message:
    """A record of the ticks' topic; with a parser its own `timestamp` is the clock of the watermark."""
    event_time = record.timestamp
    if parser is not None:
        with suppress(BadTickError):
            event_time = parser.parse(record.value, record.timestamp).event_time
    # As the engine reads it.
    key = record.key.decode("utf-8", errors="replace") if record.key else None
    return Message(Position(record.partition, record.offset), event_time, record.value, key)


def _read_results(settings: Settings, spool: Spool) -> dict[Topic, Messages]:
    found: dict[Topic, Messages] = {topic: Messages(spool) for topic in _RESULTS}
    topics = {topic_name(topic, settings.kafka): topic for topic in found}
    for record in read_committed(settings.kafka, list(found)):
        topic = topics[record.topic]
        found[topic].append(record.value, orjson.loads(record.value)["symbol"] if topic in _OF_SYMBOLS else "")
    return found
