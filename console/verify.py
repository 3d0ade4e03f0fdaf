"""``tickcast verify``: the result topics against the golden answer, to the last message."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.table import Table

from console.golden import Message, Position, golden_answer, golden_scores
from console.kafka_io import read_committed
from jobs.settings import Settings
from jobs.topics import Topic
from state.features import SCHEMA_HASH
from state.rules import load_rules
from udfs.artifact import load_artifact
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from console.golden import GoldenAnswer
    from state.rules import MarketRules

_SAME_TO = 1e-9


@dataclass
class TopicVerdict:
    """One topic against what it must hold.

    Attributes:
        messages: Committed messages found.
        lost: Messages that must be there and are not.
        duplicated: Messages that stand there more than once, or must not be there at all.
        mismatched: Messages whose content is not the golden one.
        pending: Messages that are not there yet because event time has not passed what they wait for.
    """

    messages: int = 0
    lost: int = 0
    duplicated: int = 0
    mismatched: int = 0
    pending: int = 0


@dataclass
class Verdict:
    """What `verify` found.

    Attributes:
        ticks_in: Messages in the ticks' topic.
        predictions, late, duplicates, dead_letters: What became of them.
        topics: Each result topic's verdict.
    """

    ticks_in: int = 0
    predictions: int = 0
    late: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    topics: dict[str, TopicVerdict] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Lost messages of all topics."""
        return sum(topic.lost for topic in self.topics.values())

    @property
    def duplicated(self) -> int:
        """Doubled messages of all topics."""
        return sum(topic.duplicated for topic in self.topics.values())

    @property
    def mismatched(self) -> int:
        """Wrong messages of all topics."""
        return sum(topic.mismatched for topic in self.topics.values())

    @property
    def pending(self) -> int:
        """Messages still to come."""
        return sum(topic.pending for topic in self.topics.values())

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, doubled or wrong, and every tick is accounted for."""
        accounted = self.predictions + self.late + self.duplicates + self.dead_letters
        return not (self.lost or self.duplicated or self.mismatched) and accounted == self.ticks_in

    def as_json(self) -> dict[str, Any]:
        """The contract's fields."""
        return {
            "ticks_in": self.ticks_in,
            "predictions": self.predictions,
            "late": self.late,
            "duplicates": self.duplicates,
            "dead_letters": self.dead_letters,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "mismatched": self.mismatched,
            "pending": self.pending,
            "clean": self.clean,
            "topics": {name: asdict(topic) for name, topic in self.topics.items()},
        }


def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")] = False,
) -> None:
    """Recompute every result offline from the ticks' topic, and compare. Exit code 1 unless all is clean."""
    settings = Settings()
    verdict = verify_topics(settings)
    if as_json:
        typer.echo(orjson.dumps(verdict.as_json()).decode())
    else:
        show(verdict, Console())
    if not verdict.clean:
        raise typer.Exit(1)


def verify_topics(settings: Settings) -> Verdict:
    """Reads all topics and compares.

    Raises:
        CommandError: No broker answers, a topic is missing, or a model version that scored is not there.
    """
    rules = load_rules(settings.market.rules_file)
    messages = [
        Message(Position(record.partition, record.offset), record.timestamp, record.value)
        for record in read_committed(settings.kafka, [Topic.TICKS])
    ]
    found: dict[Topic, list[dict[str, Any]]] = {
        topic: _read(settings, topic) for topic in Topic if topic not in (Topic.TICKS, Topic.MODELS)
    }
    late, dead = (Counter(_source(one) for one in found[topic]) for topic in (Topic.LATE, Topic.DEAD_LETTERS))
    answer = golden_answer(messages, late.keys() | dead.keys(), rules)
    horizon = _horizon(messages, settings)
    known = {message.position for message in messages}

    verdict = Verdict(ticks_in=len(messages), duplicates=len(answer.duplicates))
    verdict.late, verdict.dead_letters = len(late), len(dead)
    predictions = {(_source(one), one["role"]): one for one in found[Topic.PREDICTIONS]}
    verdict.predictions = sum(role == "active" for _, role in predictions)
    topics = verdict.topics
    topics["late"] = _sources_verdict(late, known)
    topics["dead-letters"] = _sources_verdict(dead, known)
    topics["dead-letters"].lost = len(answer.invalid)
    topics["predictions"] = _predictions_verdict(found, predictions, answer, settings, rules)
    topics["outcomes"] = _outcomes_verdict(found[Topic.OUTCOMES], predictions, answer, horizon)
    topics["bars"] = _bars_verdict(found[Topic.BARS], answer, horizon)
    topics["alerts"] = _alerts_verdict(found[Topic.ALERTS], answer)
    topics["market"] = _market_verdict(found[Topic.MARKET])
    return verdict


def show(verdict: Verdict, console: Console) -> None:
    """Prints the verdict as a table and a sentence."""
    table = Table("topic", *(name for name in TopicVerdict.__dataclass_fields__), box=None, pad_edge=False)
    for name, topic in verdict.topics.items():
        table.add_row(name, *(f"{value:,}" for value in asdict(topic).values()))
    console.print(table)
    console.print(
        f"{verdict.ticks_in:,} ticks in = {verdict.predictions:,} predictions + {verdict.late:,} late"
        f" + {verdict.duplicates:,} duplicates + {verdict.dead_letters:,} dead letters"
        + ("" if verdict.clean else "  [bold red]does not add up or is not clean[/]")
    )
    console.print(f"lost {verdict.lost}, duplicated {verdict.duplicated}, mismatched {verdict.mismatched}")


def _read(settings: Settings, topic: Topic) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in read_committed(settings.kafka, [topic])]


def _source(message: dict[str, Any]) -> Position:
    return Position(message["source"]["partition"], message["source"]["offset"])


def _horizon(messages: list[Message], settings: Settings) -> int:
    """Event time (ms) that the watermark has surely passed: the slowest partition's newest record, less the bound."""
    newest: dict[int, int] = {}
    for message in messages:
        partition = message.position.partition
        newest[partition] = max(newest.get(partition, 0), message.record_time)
    return min(newest.values(), default=0) - round(settings.event_time.out_of_orderness_s * 1000) - 1


def _sources_verdict(counts: Counter[Position], known: set[Position]) -> TopicVerdict:
    unknown = sum(source not in known for source in counts)
    return TopicVerdict(messages=counts.total(), duplicated=counts.total() - len(counts) + unknown)


def _predictions_verdict(
    found: dict[Topic, list[dict[str, Any]]],
    predictions: dict[tuple[Position, str], dict[str, Any]],
    answer: GoldenAnswer,
    settings: Settings,
    rules: MarketRules,
) -> TopicVerdict:
    verdict = TopicVerdict(messages=len(found[Topic.PREDICTIONS]))
    verdict.duplicated = verdict.messages - len(predictions)
    row_of = {position: row for row, position in enumerate(answer.accepted)}
    verdict.lost = sum((position, "active") not in predictions for position in answer.accepted)
    verdict.duplicated += sum(position not in row_of for position, _ in predictions)
    snapshots = {one["market_time"]: _block(one) for one in found[Topic.MARKET]}
    by_version: dict[str, list[dict[str, Any]]] = {}
    for (position, _), one in predictions.items():
        if position in row_of:
            by_version.setdefault(one["model_version"], []).append(one)
    for version, scored in by_version.items():
        scorer = Scorer(load_artifact(settings.model.directory, version, SCHEMA_HASH))
        told = [one for one in scored if one["market_time"] is None or one["market_time"] in snapshots]
        verdict.mismatched += len(scored) - len(told)
        own = answer.own[[row_of[_source(one)] for one in told]]
        golden = golden_scores(own, [one["market_time"] for one in told], snapshots, scorer, rules)
        written = np.array([[one["p_up"], one["p_flat"], one["p_down"]] for one in told]).astype(np.float32)
        verdict.mismatched += int((written != golden).any(axis=1).sum())
    return verdict


def _block(snapshot: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(snapshot["block"], np.float64).astype(np.float32)


def _outcomes_verdict(
    found: list[dict[str, Any]],
    predictions: dict[tuple[Position, str], dict[str, Any]],
    answer: GoldenAnswer,
    horizon: int,
) -> TopicVerdict:
    outcomes = {(_source(one), one["role"]): one for one in found}
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(outcomes))
    for position, role in predictions:
        if (position, role) in outcomes or position not in answer.outcomes:
            continue
        if answer.outcomes[position][2] > horizon:
            verdict.pending += 1
        else:
            verdict.lost += 1
    for key, one in outcomes.items():
        prediction, golden = predictions.get(key), answer.outcomes.get(key[0])
        if prediction is None or golden is None:
            verdict.duplicated += 1
            continue
        same_scores = all(one[name] == prediction[name] for name in ("p_up", "p_flat", "p_down", "model_version"))
        same_end = (one["realised"], one["realised_price"], one["due_time"]) == golden
        log_loss = -math.log(max(prediction[f"p_{golden[0]}"], 1e-15))
        if not (same_scores and same_end and math.isclose(one["log_loss"], log_loss, rel_tol=1e-5, abs_tol=1e-6)):
            verdict.mismatched += 1
    return verdict


def _bars_verdict(found: list[dict[str, Any]], answer: GoldenAnswer, horizon: int) -> TopicVerdict:
    bars = {(one["symbol"], one["interval"], one["window_start"]): one for one in found}
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(bars))
    for key, golden in answer.bars.items():
        if key in bars:
            verdict.mismatched += bars[key] != golden
        elif int(str(golden["window_end"])) - 1 > horizon:
            verdict.pending += 1
        else:
            verdict.lost += 1
    verdict.duplicated += len(bars.keys() - answer.bars.keys())
    return verdict


def _alerts_verdict(found: list[dict[str, Any]], answer: GoldenAnswer) -> TopicVerdict:
    """Symbols' alerts against the golden ones; the market's, which stand for no tick, must only not repeat."""
    alerts = Counter((one["rule"], _source(one)) for one in found)
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(alerts))
    of_symbols = {key: one for one in found if (key := (one["rule"], _source(one)))[1].partition >= 0}
    verdict.lost = len(answer.alerts.keys() - of_symbols.keys())
    verdict.duplicated += len(of_symbols.keys() - answer.alerts.keys())
    for key, golden in answer.alerts.items():
        if key in of_symbols:
            verdict.mismatched += not _alike(of_symbols[key], golden)
    return verdict


def _alike(one: dict[str, Any], golden: dict[str, Any]) -> bool:
    return one.keys() == golden.keys() and all(
        math.isclose(value, golden[name], rel_tol=_SAME_TO) if isinstance(value, float) else value == golden[name]
        for name, value in one.items()
    )


def _market_verdict(found: list[dict[str, Any]]) -> TopicVerdict:
    """One snapshot a second, none twice, none missing between a day's first and last."""
    times = Counter(one["market_time"] for one in found)
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(times))
    ordered = sorted(times)
    for before, after in pairwise(ordered):
        missing = (after - before) // 1000 - 1
        if 0 < missing < _SESSION_GAP_S:
            verdict.lost += missing
    return verdict


_SESSION_GAP_S = 4 * 3600
"""A longer run of seconds without a snapshot is a night."""
