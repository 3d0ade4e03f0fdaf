"""A job without an engine: it takes a log as the real one does, and writes what that one must write."""

from __future__ import annotations

import random
import time
import uuid
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from kafka import KafkaProducer, TopicPartition

from console import verify
from console.golden import END_OF_TIME
from console.kafka_io import connection_config, open_admin
from console.stack.topics import create_topics
from jobs.topics import Topic, topic_name
from state import codec, records
from state.features import SCHEMA_HASH, complete
from state.intake import Intake
from state.market_fold import MarketFold
from state.market_state import columns_of, group_of
from state.quality_watch import QualityWatch, pack_parts
from state.rules import TradingCalendar, load_rules
from state.symbol_state import SymbolState
from state.tick import BadTickError, Tick, encode_tick
from udfs.artifact import active_version, load_artifact, load_manifest
from udfs.manifest import CLASSES
from udfs.observer import DriftBaselines, Observer
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from console.stack.kafka import KafkaBroker
    from jobs.settings import Settings
    from state.outcomes import Realised

Json = dict[str, Any]
Results = dict[Topic, list[Json]]

PARTITIONS = 2
SYMBOLS = ("NABIL", "HDL", "NTC", "CHCL")
PLAIN = "PLAIN"
"""Comes without a key, hence in both partitions."""
RESULTS = tuple(topic for topic in Topic if topic not in (Topic.TICKS, Topic.MODELS))
FIRST_DAY, SECOND_DAY = (
    int(datetime.fromisoformat(f"2024-07-{day}T11:05:00+05:45").timestamp() * 1000) for day in ("02", "03")
)
BREAK_MS = 90_000
"""Half-way through a day nobody trades for so long."""
_TRADES_A_DAY = 160
_BAD = (b"", b"no json", None, b"\xff\xfe", b'{"symbol": "NABIL", "price": -4, "volume": 1}', b"x" * 70_000)


class Sent(NamedTuple):
    """A record of the ticks' topic, in the order in which the job gets it."""

    partition: int
    key: bytes | None
    value: bytes | None
    time: int


def two_days() -> list[Sent]:
    """Two days with a silence each, disorder, duplicates, late ticks and bad messages; the second opens far higher."""
    dice = random.Random(7)  # noqa: S311 - a fixed log, no secret
    log: list[Sent] = []
    for day, start in enumerate((FIRST_DAY, SECOND_DAY)):
        clock = start
        prices = dict.fromkeys((*SYMBOLS, PLAIN), 5000 + 600 * day)
        for number in range(_TRADES_A_DAY):
            clock += dice.randrange(200, 3000) + (BREAK_MS if number == _TRADES_A_DAY // 2 else 0)
            symbol = dice.choice((*SYMBOLS, PLAIN))
            prices[symbol] += dice.choice((-3, -1, 0, 0, 1, 3))
            # Ids begin anew every day.
            tick = Tick(symbol, prices[symbol] / 10, dice.randrange(1, 500), clock - dice.randrange(9000), f"7{number}")
            log.append(_sent(tick, dice.randrange(PARTITIONS)))
            if number % 25 == 10:
                log.append(log[-dice.randrange(1, 8)])
        log += [_sent(Tick(SYMBOLS[0], 500.0, 1, clock - 60_000 - late, f"8{late}"), 0) for late in range(3)]
        log += [Sent(number % PARTITIONS, b"NABIL", bad, clock) for number, bad in enumerate(_BAD)]
        log.append(Sent(0, b"HDL", encode_tick(Tick("NTC", 500.0, 1, clock)), clock))
        log.append(Sent(1, b"NTC", encode_tick(Tick("NTC", 500.0, 1, clock - 20_000)), clock))
    return log


def _sent(tick: Tick, any_partition: int) -> Sent:
    if tick.symbol == PLAIN:
        return Sent(any_partition, None, encode_tick(tick), tick.event_time)
    return Sent(SYMBOLS.index(tick.symbol) % PARTITIONS, tick.symbol.encode(), encode_tick(tick), tick.event_time)


class EngineFreeJob:
    """Takes messages one by one; `results` then hold what must be written.

    Args:
        settings: The deployment's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = load_rules(settings.market.rules_file)
        self._times = settings.event_time.in_ms()
        self._version = active_version(settings.model.directory)
        self._topic = topic_name(Topic.TICKS, settings.kafka)
        self._intake = Intake(self._rules, self._times)
        self._calendar = TradingCalendar(self._rules)
        self._states: dict[str, SymbolState] = {}
        self._newest: dict[int, int] = {}
        self._offsets = [0] * PARTITIONS
        self._taken: list[tuple[Tick, bytes, Json]] = []
        self._realised: list[Realised] = []
        self.results: Results = {topic: [] for topic in RESULTS}

    def take(self, sent: Sent) -> None:
        partition, offset = sent.partition, self._offsets[sent.partition]
        self._offsets[sent.partition] += 1
        now = int(time.time() * 1000)
        raw = sent.value or b""
        key = sent.key.decode() if sent.key else None
        try:
            tick = self._intake.admit(sent.value, len(raw), key, sent.time, now)
        except BadTickError as error:
            letter = records.dead_letter_record(raw[:65_536], len(raw), str(error), self._topic, partition, offset, now)
            self.results[Topic.DEAD_LETTERS].append(letter)
        else:
            self._take_tick(tick, partition, offset)
        self._newest[partition] = max(self._newest.get(partition, 0), sent.time)
        for symbol, state in self._states.items():
            self._advance(symbol, state, self._watermark)

    @property
    def _watermark(self) -> int:
        return min(self._newest.values(), default=0) - self._times.out_of_orderness - 1

    def _take_tick(self, tick: Tick, partition: int, offset: int) -> None:
        if tick.event_time <= self._watermark:
            self.results[Topic.LATE].append(records.late_record(tick, self._watermark, partition, offset))
            return
        state = self._states.setdefault(tick.symbol, SymbolState(tick.symbol, self._rules, self._calendar))
        key = codec.trade_key(tick.trade_id)
        if key is not None and state.repeats(tick.event_time, key):
            return
        features = state.apply(tick.event_time, tick.price, tick.volume, key, partition, offset)
        source = {"partition": partition, "offset": offset}
        self._taken.append((tick, features, {"source": source, "sequence": state.trades}))
        self.results[Topic.ALERTS] += [records.alert_record(tick.symbol, alert) for alert in state.take_alerts()]

    def _advance(self, symbol: str, state: SymbolState, watermark: int) -> None:
        bars, realised = state.advance(watermark)
        self.results[Topic.BARS] += [records.bar_record(symbol, bar) for bar in bars]
        self._realised += realised

    def settle(self) -> None:
        """Event time goes on until nothing waits any more."""
        self._newest = dict.fromkeys(self._newest, END_OF_TIME)
        for symbol, state in self._states.items():
            self._advance(symbol, state, state.last_due or 0)

    def finish(self) -> Results:
        """Adds what needs the market: snapshots, predictions, outcomes."""
        blocks = self._snapshots()
        directory = self._settings.model.directory
        scorer = Scorer(load_artifact(directory, active_version(directory), SCHEMA_HASH))
        moments = [tick.event_time // 1000 - self._settings.market.lag_s for tick, _, _ in self._taken]
        digits = self._rules.trade_groups
        digits_of_group = slice(digits.from_digit, digits.to_digit)
        rows = [
            own + columns_of(blocks[moment], group_of(tick.trade_id, digits_of_group))
            for (tick, own, _), moment in zip(self._taken, moments, strict=True)
        ]
        scores = scorer.score(complete(b"".join(rows), len(rows)))
        for (tick, _, place), moment, row in zip(self._taken, moments, scores, strict=True):
            self.results[Topic.PREDICTIONS].append(
                {
                    "symbol": tick.symbol, "event_time": tick.event_time, "trade_id": tick.trade_id,
                    "price": tick.price, **{f"p_{name}": float(p) for name, p in zip(CLASSES, row, strict=True)},
                    "direction": CLASSES[row.argmax()], "model_version": scorer.version, "role": "active",
                    "feature_schema": SCHEMA_HASH, "market_time": moment * 1000, **place, "produced_at": 0,
                }
            )  # fmt: skip
        self._judge()
        self._watch(complete(b"".join(rows), len(rows)), scores)
        return self.results

    def _watch(self, features: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> None:
        """The live scores: outcome by outcome, each a batch of its own."""
        directory = self._settings.model.directory
        observer = Observer(load_manifest(directory, self._version))
        watch = QualityWatch(DriftBaselines(directory), self._settings.model.score_minutes, self._rules.alerts.drift)
        row_of = {tuple(place["source"].values()): row for row, (_, _, place) in enumerate(self._taken)}
        for one in self._realised:
            at = row_of[one.partition, one.offset]
            part = slice(at, at + 1)
            watch.add(
                pack_parts(observer.observe("active", features[part], scores[part], [one.event_time], [one.direction]))
            )
        findings = watch.advance(self._watermark)
        self.results[Topic.SCORES] += [records.score_record(score, 0) for score in findings.scores]

    def _snapshots(self) -> dict[int, np.ndarray[Any, np.dtype[np.float32]]]:
        fold = MarketFold(self._rules, self._calendar, 25)
        seconds: dict[int, dict[str, list[Tick]]] = {}
        for tick, _, _ in self._taken:
            seconds.setdefault(tick.event_time // 1000, {}).setdefault(tick.symbol, []).append(tick)
        blocks = {}
        for second, symbols in sorted(seconds.items()):
            for snapshot in fold.take(second, ";".join(_summary(symbol, ticks) for symbol, ticks in symbols.items())):
                blocks[snapshot.second] = snapshot.block
                self.results[Topic.MARKET].append(records.market_record(snapshot, (self._version,)))
        self.results[Topic.ALERTS] += [records.market_alert_record(alert) for alert in fold.take_alerts()]
        return blocks

    def _judge(self) -> None:
        predictions = {tuple(one["source"].values()): one for one in self.results[Topic.PREDICTIONS]}
        same = ("symbol", "event_time", "price", "p_up", "p_flat", "p_down", "direction", "model_version", "role")
        for realised in self._realised:
            one = predictions[realised.partition, realised.offset]
            chances = np.array([one[f"p_{name}"] for name in CLASSES])
            hit = np.array([name == realised.direction for name in CLASSES])
            self.results[Topic.OUTCOMES].append(
                {name: one[name] for name in (*same, "source")}
                | {
                    "due_time": realised.due_time, "realised": realised.direction,
                    "realised_price": realised.realised_price,
                    "return_bps": (realised.realised_price / one["price"] - 1) * 10_000,
                    "correct": one["direction"] == realised.direction,
                    "log_loss": -float(np.log(chances[hit][0])), "brier": float(((chances - hit) ** 2).sum()),
                }
            )  # fmt: skip


def _summary(symbol: str, ticks: list[Tick]) -> str:
    turnover = sum(tick.price * tick.volume for tick in ticks)
    return f"{symbol}:{ticks[-1].price}:{turnover}:{len(ticks)}:{max(tick.trade_id or '' for tick in ticks)}"


class Deployment:
    """Topics on the broker, and the ways to fill them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._producer = KafkaProducer(**connection_config(settings.kafka), transactional_id=f"tests-{uuid.uuid4()}")
        self._producer.init_transactions()

    def feed(self, log: Iterable[Sent]) -> None:
        with closing(KafkaProducer(**connection_config(self.settings.kafka))) as producer:
            topic = topic_name(Topic.TICKS, self.settings.kafka)
            for sent in log:
                producer.send(topic, sent.value, sent.key, partition=sent.partition, timestamp_ms=sent.time)
            producer.flush()

    def write(self, topic: Topic, messages: list[Json], *, end: str = "commit") -> None:
        """Writes in a transaction of its own: `commit`, `abort`, or leave `open`."""
        self._producer.begin_transaction()
        for message in messages:
            value, key = records.to_json(message), str(message.get("symbol")).encode()
            self._producer.send(topic_name(topic, self.settings.kafka), value, key)
        self._producer.flush()
        if end == "commit":
            self._producer.commit_transaction()
        elif end == "abort":
            self._producer.abort_transaction()

    def replace(self, topic: Topic, messages: list[Json]) -> None:
        """Takes everything out of a topic and writes these messages instead."""
        name = topic_name(topic, self.settings.kafka)
        partitions = 1 if topic in (Topic.MARKET, Topic.SCORES) else PARTITIONS
        with closing(open_admin(self.settings.kafka)) as admin:
            admin.delete_records({TopicPartition(name, partition): -1 for partition in range(partitions)})
        self.write(topic, messages)

    def close(self) -> None:
        self._producer.close()


@pytest.fixture(autouse=True)
def in_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few ticks here are compared as millions are: some symbols at a time."""
    monkeypatch.setattr(verify, "TICKS_AT_ONCE", 80)


@pytest.fixture(scope="module")
def make_deployment(stack_settings: Settings, broker: KafkaBroker) -> Iterator[Any]:
    """Makes deployments with empty topics."""
    del broker
    made: list[Deployment] = []

    def make() -> Deployment:
        kafka = stack_settings.kafka.model_copy(
            update={"topic_prefix": f"v{uuid.uuid4().hex[:8]}", "partitions": PARTITIONS}
        )
        settings = stack_settings.model_copy(update={"kafka": kafka})
        create_topics(settings)
        made.append(Deployment(settings))
        return made[-1]

    yield make
    for deployment in made:
        deployment.close()


@pytest.fixture(scope="module")
def run_job() -> Any:
    """What the job writes about a log; unless `settled`, event time stands where the log's end has brought it."""

    def run(settings: Settings, log: list[Sent], *, settled: bool = True) -> Results:
        job = EngineFreeJob(settings)
        for sent in log:
            job.take(sent)
        if settled:
            job.settle()
        return job.finish()

    return run


@pytest.fixture(scope="module")
def two_day_log() -> list[Sent]:
    return two_days()
