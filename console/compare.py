"""The result topics' messages against the golden answer: late ticks, dead letters, bars, alerts, snapshots."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from console.golden import Position
from console.golden_market import certain_silences, halt_alerts, index_alerts, market_seconds, told_silences
from console.verdict import TopicVerdict
from state.records import DRIFT_RULES, MARKET_SYMBOL, dead_letter_record, late_record
from state.tick import MAX_RAW_BYTES, BadTickError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from console.golden import GoldenAnswer, Message
    from console.messages import Json
    from state.intake import Intake
    from state.rules import MarketRules


Key = TypeVar("Key")


def source(message: Json) -> Position:
    """The position of the tick that a message is about."""
    return Position(message["source"]["partition"], message["source"]["offset"])


def first_of_each(found: Iterable[Json], key: Callable[[Json], Key]) -> dict[Key, Json]:
    """The first message of each key."""
    first: dict[Key, Json] = {}
    for one in found:
        first.setdefault(key(one), one)
    return first


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


class Progress(NamedTuple):
    """How far a topic has come in event time, ms.

    Attributes:
        reached: A moment up to which event time has surely gone, since a message is there that waited for it.
        missing: What the messages that are not there wait for.
    """

    reached: int
    missing: list[int]

    def settle(self, verdict: TopicVerdict, horizon: int) -> TopicVerdict:
        """The verdict with the missing messages: pending are those that wait for more than `horizon` (ms)."""
        pending = sum(moment > horizon for moment in self.missing)
        return verdict + TopicVerdict(lost=len(self.missing) - pending, pending=pending)


def compare_bars(found: Collection[Json], answer: GoldenAnswer) -> tuple[TopicVerdict, Progress]:
    """Each window's bar once, to the last digit."""
    bars = first_of_each(found, _window)
    golden = {key: answer.bars[key] for key in answer.bars.keys() & bars.keys()}
    missing = [_last_moment(answer.bars[key]) for key in answer.bars.keys() - bars.keys()]
    reached = max(map(_last_moment, golden.values()), default=0)
    return _compare(len(found), bars, golden), Progress(reached, missing)


def _window(bar: Json) -> tuple[str, str, int]:
    return bar["symbol"], bar["interval"], bar["window_start"]


def _last_moment(bar: Mapping[str, object]) -> int:
    return int(str(bar["window_end"])) - 1


def compare_symbol_alerts(found: Iterable[Json], answer: GoldenAnswer) -> TopicVerdict:
    """The alerts about symbols, out of all of the topic, against the golden ones."""
    found = [one for one in found if one["symbol"] != MARKET_SYMBOL]
    return _compare(len(found), first_of_each(found, _alert), answer.alerts)


def compare_market_alerts(
    found: Iterable[Json], snapshots: Mapping[int, Json], seconds: Iterable[int], rules: MarketRules
) -> TopicVerdict:
    """The alerts about the market, out of all of the topic, against the snapshots and the silences of the log.

    Args:
        found: Messages of the topic.
        snapshots: Recorded market snapshots by `market_time`, in order.
        seconds: Every second (epoch s) in which the log has any message but the index.
        rules: The market's rules.
    """
    # Whether a command to the models could be obeyed, the files of its moment decided; drift has a page of its own.
    besides = ("model_refused", *DRIFT_RULES)
    found = [one for one in found if one["symbol"] == MARKET_SYMBOL and one["rule"] not in besides]
    told = told_silences(found)
    golden = index_alerts(snapshots.values(), rules)
    for silence in told:
        golden += halt_alerts(silence, snapshots, rules)
    verdict = _compare(len(found), first_of_each(found, _alert), first_of_each(golden, _alert))
    last_second = max(snapshots, default=0) // 1000
    for start, end in certain_silences(seconds, rules):
        if not any(one.start <= start and one.end is not None and one.end >= end for one in told):
            verdict.lost += end <= last_second
            verdict.pending += end > last_second
    return verdict


def _alert(message: Json) -> tuple[str, Position]:
    return message["rule"], source(message)


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
