"""One log through the whole pipeline: two days of disordered, repeated, unkeyed and broken messages."""

from __future__ import annotations

import base64
import math
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import pytest

from feeds.source import RawMessage
from jobs.topics import Topic
from state.codec import trade_key
from state.features import SCHEMA_HASH, complete
from state.market_board import MarketBoard
from state.market_state import group_of
from state.records import alert_record
from state.rules import TradingCalendar, load_rules
from state.symbol_state import SymbolState
from state.tick import BadTickError, Tick, TickParser, encode_tick
from udfs.artifact import active_version, load_artifact
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobs.settings import Settings

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

Json = dict[str, Any]
Results = dict[Topic, list[Json]]
Position = tuple[int, int]

PARTITIONS = 4
SYMBOLS = [f"SYM{number}" for number in range(10)]
PLAIN = "PLAIN"
LOUD = SYMBOLS[3]
FIRST_DAY = int(datetime(2024, 7, 2, 5, 16, tzinfo=UTC).timestamp() * 1000)
SECOND_DAY = FIRST_DAY + 86_400_000
SPAN_MS = 8 * 60_000
DISORDER_MS = 9_000
BAD = [b"", b"no json", b'{"symbol": "SYM1", "price": -4, "volume": 1}', None, b"\xff\xfe\x00"]


class Run(NamedTuple):
    """One run of the pipeline over the log, and what the log must give.

    Attributes:
        settings: The run's.
        log: What was written, by its position.
        results: What was committed.
        ticks: The ticks that count, by position, in the order in which the pipeline takes each symbol's.
        own: Features of their own and contract group of each of them, in the same order.
        alerts: What they raise.
    """

    settings: Settings
    log: dict[Position, RawMessage]
    results: Results
    ticks: dict[Position, Tick]
    own: list[tuple[bytes, int]]
    alerts: list[Json]


def fold(settings: Settings, log: dict[Position, RawMessage], results: Results) -> Run:
    """Takes the log through the state without Flink."""
    rules = load_rules(settings.market.rules_file)
    calendar, groups = TradingCalendar(rules), rules.trade_groups
    parser = TickParser(rules.symbols.pattern, rules.limits.max_price, rules.limits.max_volume)
    states: dict[str, SymbolState] = {}
    run = Run(settings, log, results, {}, [], [])
    for position, message in log.items():
        try:
            tick = parser.parse(message.value, message.event_time)
        except BadTickError:
            continue
        if message.key not in (None, tick.symbol.encode()) or tick in run.ticks.values():
            continue
        state = states.setdefault(tick.symbol, SymbolState(tick.symbol, rules, calendar))
        own = state.apply(tick.event_time, tick.price, tick.volume, trade_key(tick.trade_id), *position)
        run.own.append((own, group_of(tick.trade_id, slice(groups.from_digit, groups.to_digit))))
        run.alerts.extend(alert_record(tick.symbol, alert) for alert in state.take_alerts())
        run.ticks[position] = tick
    return run


def first_day(dice: random.Random) -> Iterable[tuple[int, RawMessage]]:
    """Trades that arrive up to nine seconds behind each other, some of them twice."""
    arrivals = sorted((time + dice.randrange(DISORDER_MS), time) for time in random_times(dice, 1500))
    prices = dict.fromkeys(SYMBOLS, 2000)
    sent: list[RawMessage] = []
    for number, (_, time) in enumerate(arrivals):
        symbol = dice.choice(SYMBOLS)
        prices[symbol] += dice.choice([-3, -1, 0, 0, 1, 3])
        trade_id = f"20240702{SYMBOLS.index(symbol):02d}{number:06d}"
        tick = Tick(symbol, prices[symbol] / 10, dice.randrange(95, 106), time, trade_id, "12", "58")
        sent.append(RawMessage(symbol.encode(), encode_tick(tick), time))
        if not number % 40:
            sent.append(sent[-dice.randrange(1, min(len(sent), 30) + 1)])
    return [(SYMBOLS.index(message.key.decode()) % PARTITIONS, message) for message in sent if message.key]


def random_times(dice: random.Random, count: int) -> list[int]:
    return [FIRST_DAY + dice.randrange(SPAN_MS) for _ in range(count)]


def unkeyed(number: int, timestamp: object, time: int) -> tuple[int, RawMessage]:
    """A message of another producer: no key, no id, its own way to write the time."""
    fields = {"symbol": PLAIN, "price": 300 + number % 3, "volume": 7, "timestamp": timestamp}
    message = {name: value for name, value in fields.items() if value is not None}
    return 1, RawMessage(None, orjson.dumps(message), time)


def make_log() -> list[tuple[int, RawMessage]]:
    dice = random.Random(20240702)  # noqa: S311 - a fixed log, no secret
    log = list(first_day(dice))
    end = FIRST_DAY + SPAN_MS
    log += [unkeyed(0, end, end)]
    log += [unkeyed(1, "2024-07-02T05:24:01Z", end + 1000), unkeyed(2, "2024-07-02T11:09:02.250+05:45", end + 2250)]
    log += [unkeyed(3, None, end + 3000), unkeyed(4, "today", end + 4000)]
    log += [(number % PARTITIONS, RawMessage(b"SYM1", value, end)) for number, value in enumerate(BAD)]
    log += [(3, RawMessage(b"SYM2", encode_tick(Tick("SYM4", 100.0, 1, end)), end))]
    burst = Tick(LOUD, 200.0, 100_000, end + 5000, "20240702039", None, None)
    log += [(SYMBOLS.index(LOUD) % PARTITIONS, RawMessage(LOUD.encode(), encode_tick(burst), burst.event_time))]
    for number, symbol in enumerate(SYMBOLS):
        tick = Tick(symbol, 240.0, 10, SECOND_DAY + number, f"20240703{number:08d}")
        log.append((number % PARTITIONS, RawMessage(symbol.encode(), encode_tick(tick), tick.event_time)))
    return log


@pytest.fixture(scope="module")
def runs(
    make_deployment: Callable[..., Settings], run_pipeline: Callable[..., tuple[dict[Position, RawMessage], Results]]
) -> dict[int, Run]:
    """The same log at parallelism 1 and 2."""
    return {
        parallelism: fold(settings, *run_pipeline(settings, make_log()))
        for parallelism in (1, 2)
        for settings in [make_deployment(PARTITIONS, parallelism)]
    }


@pytest.fixture(scope="module")
def run(runs: dict[int, Run]) -> Run:
    return runs[2]


def source(message: Json) -> Position:
    return message["source"]["partition"], message["source"]["offset"]


def by_source(messages: list[Json]) -> dict[Position, Json]:
    return {source(message): message for message in messages}


def test_each_message_becomes_one_prediction_one_dead_letter_or_a_dropped_duplicate(run: Run) -> None:
    predicted = Counter(source(one) for one in run.results[Topic.PREDICTIONS])
    dead = Counter(source(one) for one in run.results[Topic.DEAD_LETTERS])

    assert set((predicted + dead).values()) == {1}
    assert run.results[Topic.LATE] == []
    assert set(predicted) == set(run.ticks)
    assert len(dead) == len(BAD) + 1
    assert len(run.log) - len(predicted) - len(dead) == 38, "the repeated ones"


def test_a_disordered_tick_is_scored_with_its_place_in_the_window(run: Run) -> None:
    predictions = by_source(run.results[Topic.PREDICTIONS])
    arrived = [predictions[position] for position in run.ticks]
    behind = sum(a["event_time"] > b["event_time"] for a, b in pairwise(arrived))
    assert behind > 300

    directory = run.settings.model.directory
    scorer = Scorer(load_artifact(directory, active_version(directory), SCHEMA_HASH))
    board = MarketBoard()
    for one in run.results[Topic.MARKET]:
        board.post(one["market_time"] // 1000, np.array(one["block"], np.float32).tobytes(), ())
    packed = [
        own + board.columns(one["market_time"] // 1000, group)
        for (own, group), one in zip(run.own, arrived, strict=True)
    ]
    expected = scorer.score(complete(b"".join(packed), len(arrived)))

    scores = np.array([[one["p_up"], one["p_flat"], one["p_down"]] for one in arrived]).astype(np.float32)
    assert scores.tobytes() == expected.tobytes()
    assert len(np.unique(scores, axis=0)) > 500


def test_a_prediction_tells_what_it_was_made_of(run: Run) -> None:
    predictions = by_source(run.results[Topic.PREDICTIONS])
    for position, tick in run.ticks.items():
        one = predictions[position]
        assert [one["symbol"], one["event_time"], one["trade_id"], one["price"]] == [
            tick.symbol, tick.event_time, tick.trade_id, tick.price,
        ]  # fmt: skip
        assert one["market_time"] == (tick.event_time // 1000 - run.settings.market.lag_s) * 1000
        assert one["direction"] == max(("up", "flat", "down"), key=lambda name: one[f"p_{name}"])
        assert (one["role"], one["feature_schema"]) == ("active", SCHEMA_HASH)
        assert one["model_version"] == active_version(run.settings.model.directory)


def test_plain_messages_without_a_key_find_their_symbol_and_their_time(run: Run) -> None:
    end = FIRST_DAY + SPAN_MS
    times = [one["event_time"] for one in run.results[Topic.PREDICTIONS] if one["symbol"] == PLAIN]
    assert sorted(times) == [end, end + 1000, end + 2250, end + 3000, end + 4000]


def test_bad_messages_are_dead_letters_with_their_bytes_and_a_reason(run: Run) -> None:
    letters = by_source(run.results[Topic.DEAD_LETTERS])
    assert {position: run.log[position].value or b"" for position in letters} == {
        position: base64.b64decode(letter["raw"]) for position, letter in letters.items()
    }
    reasons = sorted(letter["reason"] for letter in letters.values())
    expected = [
        "price -4.0 is not",
        "the message is empty",
        "the message is not JSON",
        "the message is not UTF-8",
        "the message is null",
        "the record's key 'SYM2' is not its symbol 'SYM4'",
    ]
    assert [reason[: len(start)] for reason, start in zip(reasons, expected, strict=True)] == expected


def test_bars_hold_the_windows_of_their_ticks(run: Run) -> None:
    windows = defaultdict(list)
    for position in run.ticks:
        tick = run.ticks[position]
        for name, length in (("1m", 60_000), ("5m", 300_000)):
            windows[tick.symbol, name, tick.event_time // length * length].append(tick)
    bars = {(bar["symbol"], bar["interval"], bar["window_start"]): bar for bar in run.results[Topic.BARS]}

    assert len(run.results[Topic.BARS]) == len(bars)
    assert bars.keys() == windows.keys()
    for window, ticks in windows.items():
        bar, prices = bars[window], [tick.price for tick in ticks]
        in_time = sorted(ticks, key=lambda tick: tick.event_time)  # stable: arrival decides between equals
        volume = sum(tick.volume for tick in ticks)
        assert (bar["open"], bar["close"]) == (in_time[0].price, in_time[-1].price)
        assert (bar["high"], bar["low"]) == (max(prices), min(prices))
        assert (bar["volume"], bar["trades"]) == (volume, len(ticks))
        assert bar["vwap"] == pytest.approx(sum(tick.price * tick.volume for tick in ticks) / volume)
        assert bar["mean_price"] == pytest.approx(sum(prices) / len(prices))
        assert bar["window_end"] == bar["window_start"] + {"1m": 60_000, "5m": 300_000}[bar["interval"]]


def test_every_prediction_is_judged_by_the_last_price_of_its_minute(run: Run) -> None:
    outcomes, predictions = by_source(run.results[Topic.OUTCOMES]), by_source(run.results[Topic.PREDICTIONS])
    assert len(run.results[Topic.OUTCOMES]) == len(outcomes)
    assert outcomes.keys() == predictions.keys()
    paths = defaultdict(list)
    for position in run.ticks:
        paths[run.ticks[position].symbol].append(run.ticks[position])
    for position, outcome in outcomes.items():
        tick, prediction = run.ticks[position], predictions[position]
        due = tick.event_time + 60_000
        later = [other for other in paths[tick.symbol] if tick.event_time < other.event_time <= due]
        last = (
            max(enumerate(later), key=lambda entry: (entry[1].event_time, entry[0]))[1].price if later else tick.price
        )
        realised = "up" if last > tick.price else "down" if last < tick.price else "flat"
        assert (outcome["realised"], outcome["realised_price"], outcome["due_time"]) == (realised, last, due)
        assert outcome["correct"] == (prediction["direction"] == realised)
        assert outcome["return_bps"] == pytest.approx((last / tick.price - 1) * 10_000)
        chances = {name: prediction[f"p_{name}"] for name in ("up", "flat", "down")}
        assert outcome["log_loss"] == pytest.approx(-math.log(chances[realised]), rel=1e-6)
        brier = sum((chance - (name == realised)) ** 2 for name, chance in chances.items())
        assert outcome["brier"] == pytest.approx(brier, rel=1e-6)


def test_alerts_tell_of_the_burst_and_of_the_band(run: Run) -> None:
    alerts = run.results[Topic.ALERTS]
    bursts = [one for one in alerts if one["rule"] == "volume_spike"]
    assert [(one["symbol"], one["event_time"]) for one in bursts] == [(LOUD, FIRST_DAY + SPAN_MS + 5000)]
    bands = {one["symbol"]: one for one in alerts if one["rule"] == "price_band"}
    assert set(bands) == set(SYMBOLS)
    assert all(one["event_time"] >= SECOND_DAY and one["value"] > 0.1 for one in bands.values())
    own = [one for one in alerts if one["symbol"] in SYMBOLS]
    assert sorted(map(orjson.dumps, own)) == sorted(map(orjson.dumps, run.alerts))


def test_market_snapshots_have_no_gap_and_count_every_trade(run: Run) -> None:
    seconds = [one["market_time"] // 1000 for one in run.results[Topic.MARKET]]
    times = sorted(tick.event_time for tick in run.ticks.values())
    first, second = FIRST_DAY // 1000, SECOND_DAY // 1000
    end = max(time for time in times if time < SECOND_DAY) // 1000
    assert seconds == [*range(seconds[0], end + 1), *range(seconds[end + 1 - seconds[0]], second + 1)]
    assert seconds[0] < first - run.settings.market.lag_s
    by_second = {one["market_time"] // 1000: one for one in run.results[Topic.MARKET]}
    assert by_second[second]["advancing"] + by_second[second]["declining"] == 0, "a new day has no returns yet"
    assert by_second[end]["trades_60s"] > 0


def test_the_same_log_gives_the_same_results_at_any_parallelism(runs: dict[int, Run]) -> None:
    one, two = runs[1], runs[2]
    assert one.log == two.log
    of_arrival = {"produced_at", "received_at", "topic"}
    for topic in one.results:
        narrow, wide = (
            sorted(
                orjson.dumps({k: v for k, v in message.items() if k not in of_arrival})
                for message in run.results[topic]
            )
            for run in (one, two)
        )
        assert narrow == wide, topic
