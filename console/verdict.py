"""What `tickcast verify` has to say, for machines and for people."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console


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

    def __add__(self, other: TopicVerdict) -> TopicVerdict:
        """The verdict on two parts of a topic."""
        return TopicVerdict(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass
class Verdict:
    """What `verify` found.

    Attributes:
        ticks_in: Messages in the ticks' topic.
        predictions, late, duplicates, dead_letters: What became of them.
        conflated: Ticks that were not scored under overload, as the prediction of a newer one tells.
        without_market: How many of the predictions were made without a market snapshot: before the day's first, or
            because theirs had not come in time, or was not kept for so long.
        topics: Each result topic's verdict.
    """

    ticks_in: int = 0
    predictions: int = 0
    late: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    conflated: int = 0
    without_market: int = 0
    topics: dict[str, TopicVerdict] = field(default_factory=dict)

    def add(self, topic: str, part: TopicVerdict) -> None:
        """Adds the verdict on a part of a topic."""
        self.topics[topic] += part

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
        accounted = self.predictions + self.conflated + self.late + self.duplicates + self.dead_letters
        return not (self.lost or self.duplicated or self.mismatched) and accounted == self.ticks_in

    def as_json(self) -> dict[str, Any]:
        """The contract's fields."""
        return {
            "ticks_in": self.ticks_in,
            "predictions": self.predictions,
            "late": self.late,
            "duplicates": self.duplicates,
            "dead_letters": self.dead_letters,
            "conflated": self.conflated,
            "without_market": self.without_market,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "mismatched": self.mismatched,
            "pending": self.pending,
            "clean": self.clean,
            "topics": {name: asdict(topic) for name, topic in self.topics.items()},
        }


def show(verdict: Verdict, console: Console) -> None:
    """Prints the verdict as a table and a sentence."""
    table = Table("topic", *(name for name in TopicVerdict.__dataclass_fields__), box=None, pad_edge=False)
    for name, topic in verdict.topics.items():
        table.add_row(name, *(f"{value:,}" for value in asdict(topic).values()))
    console.print(table)
    console.print(
        f"{verdict.ticks_in:,} ticks in = {verdict.predictions:,} predictions"
        + (f" + {verdict.conflated:,} conflated" if verdict.conflated else "")
        + f" + {verdict.late:,} late"
        f" + {verdict.duplicates:,} duplicates + {verdict.dead_letters:,} dead letters"
        + ("" if verdict.clean else "  [bold red]does not add up or is not clean[/]")
    )
    if verdict.without_market:
        console.print(f"{verdict.without_market:,} of the predictions were made without a market snapshot")
    console.print(f"lost {verdict.lost}, duplicated {verdict.duplicated}, mismatched {verdict.mismatched}")
