"""The result topics' messages against the golden answer: late ticks, dead letters, bars, alerts, snapshots."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from console.golden import Position
from console.golden_market import certain_silences, halt_alerts, index_alerts, market_seconds, told_silences
from console.verdict import TopicVerdict
from state.records import DRIFT_RULES, dead_letter_record, late_record
from state.tick import MAX_RAW_BYTES, BadTickError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from console.golden import GoldenAnswer, Message
    from console.messages import Json, Messages
    from state.intake import Intake
    from state.rules import MarketRules


def source(message: Json) -> Position:
    """The position of the tick that a message is about."""
    return Position(message["source"]["partition"], message["source"]["offset"])


def compare_set_aside(
    found: Collection[Json], messages: Mapping[Position, Message], golden: Callable[[Json, Message], Json | None]
) -> TopicVerdict:
    """Late ticks or dead letters: each about another message of the log, and what it says is true.

    Args:
        found: Messages of the topic.
        messages: The log.
        golden: What a message must be, given what it says of clock and arrival; None: it must not be there.
    """
    by_source = {source(one): one for one in found}
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(by_source))
    for position, one in by_source.items():
        expected = golden(one, messages[position]) if position in messages else None
        if expected is None:
            verdict.duplicated += 1
        else:
            verdict.mismatched += one != expected
    return verdict


def golden_late(one: Json, message: Message, intake: Intake) -> Json | None:
    """The late tick that a message is; None where it is no tick, or its time is not behind the watermark told."""
    raw, watermark = message.value, one["watermark"]
    try:
        tick = intake.admit(raw, len(raw or b""), message.key, message.record_time, watermark)
    except BadTickError:
        return None
    return late_record(tick, watermark, *message.position) if tick.event_time <= watermark else None


def golden_dead_letter(one: Json, message: Message, intake: Intake, topic: str) -> Json | None:
    """The dead letter that a message is; None where it is a valid tick. The reason's wording is taken as recorded."""
    raw, received_at = message.value or b"", one["received_at"]
    try:
        intake.admit(message.value, len(raw), message.key, message.record_time, received_at)
    except BadTickError:
        return dead_letter_record(raw[:MAX_RAW_BYTES], len(raw), one["reason"], topic, *message.position, received_at)
    return None


def compare_bars(found: Messages, answer: GoldenAnswer, horizon: int) -> TopicVerdict:
    """Each window's bar once, to the last digit; one that ends after `horizon` (ms) may still be open."""
    bars = found.by(_window)
    verdict = _compare(len(found), bars, {key: golden for key, golden in answer.bars.items() if key in bars})
    for key in answer.bars.keys() - bars.keys():
        is_due = _last_moment(answer.bars[key]) <= horizon
        verdict.lost += is_due
        verdict.pending += not is_due
    return verdict


def settled_up_to(bars: Iterable[Json], outcomes: Iterable[Json], answer: GoldenAnswer, watermark: int) -> int:
    """The event time (ms) up to which everything must be there: what is there tells how far the job has come.

    Args:
        bars: Messages of the topic.
        outcomes: Messages of the topic.
        answer: What the log must give.
        watermark: Event time that the job's watermark has surely passed, ms.
    """
    closed = {_window(one) for one in bars} & answer.bars.keys()
    judged = {source(one) for one in outcomes} & answer.outcomes.keys()
    passed = [_last_moment(answer.bars[key]) for key in closed]
    passed += [answer.outcomes[position][2] for position in judged]
    return max([watermark, *passed])


def _window(bar: Json) -> tuple[str, str, int]:
    return bar["symbol"], bar["interval"], bar["window_start"]


def _last_moment(bar: Mapping[str, object]) -> int:
    return int(str(bar["window_end"])) - 1


def compare_alerts(
    found: Iterable[Json],
    answer: GoldenAnswer,
    snapshots: Mapping[int, Json],
    seconds: Iterable[int],
    rules: MarketRules,
) -> TopicVerdict:
    """The symbols' alerts against the golden ones; the market's against the snapshots and the silences of the log.

    Args:
        found: Messages of the topic.
        answer: What the log must give.
        snapshots: Recorded market snapshots by `market_time`, in order.
        seconds: Every second (epoch s) in which the log has any message but the index.
        rules: The market's rules.
    """
    # Whether a command to the models could be obeyed, the files of its moment decided; drift has a page of its own.
    found = [one for one in found if one["rule"] not in ("model_refused", *DRIFT_RULES)]
    alerts = {(one["rule"], source(one)): one for one in found}
    told = told_silences(found)
    market = index_alerts(snapshots.values(), rules)
    for silence in told:
        market += halt_alerts(silence, snapshots, rules)
    golden: dict[tuple[str, Position], Mapping[str, object]] = {(one["rule"], source(one)): one for one in market}
    golden.update(answer.alerts)
    verdict = _compare(len(found), alerts, golden)
    last_second = max(snapshots, default=0) // 1000
    for start, end in certain_silences(seconds, rules):
        if not any(one.start <= start and one.end is not None and one.end >= end for one in told):
            verdict.lost += end <= last_second
            verdict.pending += end > last_second
    return verdict


def compare_market(found: Collection[Json], demanded: AbstractSet[int], rules: MarketRules) -> TopicVerdict:
    """One snapshot a second, none twice or missing; `demanded` are the seconds (epoch s) that predictions name."""
    times = Counter(one["market_time"] // 1000 for one in found)
    verdict = TopicVerdict(messages=len(found), duplicated=len(found) - len(times))
    verdict.lost = len(market_seconds(demanded, times, rules) - times.keys())
    return verdict


def _compare(count: int, found: Mapping[Any, Json], golden: Mapping[Any, Mapping[str, object]]) -> TopicVerdict:
    """Messages by what tells them apart against what they must be."""
    return TopicVerdict(
        messages=count,
        lost=len(golden.keys() - found.keys()),
        duplicated=count - len(found) + len(found.keys() - golden.keys()),
        mismatched=sum(found[key] != golden[key] for key in golden.keys() & found.keys()),
    )
