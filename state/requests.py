"""What the model is asked: a tick's features and all that its prediction will tell.

A tick asks when its market snapshot is there. What the model said is told once more a minute later, with the outcome;
the same features give the same probabilities, so no prediction has to be kept in Flink's state for that minute.
"""

from __future__ import annotations

from typing import NamedTuple

from state.features import NO_MARKET


class Subject(NamedTuple):
    """What a prediction tells of its tick.

    Attributes:
        symbol: The tick's symbol.
        event_time: Its time, ms.
        trade_id: Its trade id; None where it has none.
        price: Its price, rupees.
        partition, offset: Its position in the ticks' topic.
        sequence: Its number in the symbol's session, from 1.
    """

    symbol: str
    event_time: int
    trade_id: str | None
    price: float
    partition: int
    offset: int
    sequence: int

    @property
    def position(self) -> tuple[int, int]:
        """Partition and offset."""
        return self.partition, self.offset


class Request:
    """One tick that wants its probabilities.

    Args:
        subject: The tick.
        own: The symbol's own features, `OWN_COUNT` float32.
        group: Contract group; -1 where unknown.
        second: Epoch second of the market snapshot that it is scored with.

    Attributes:
        answered: Whether it has been sent to the model.
        columns: The market's features it was sent with, `MARKET_COUNT` float32.
        market_time: Time of the snapshot they came from, ms; None where it had to go without.
        versions: Names of the model versions that score: the active one, then the shadow, if any.
        conflated: Positions of the ticks that are not scored because this newer one was waiting; None without any.
        is_skipped: Whether it is such a tick itself.
        scores: What its versions said, one after the other: probabilities of up, flat and down, float32; empty until
            then, and after a restart.
        since: When it began to wait for its snapshot, by the machine's clock, ms.
    """

    __slots__ = (
        "answered",
        "columns",
        "conflated",
        "group",
        "is_skipped",
        "market_time",
        "own",
        "scores",
        "second",
        "since",
        "subject",
        "versions",
    )

    def __init__(self, subject: Subject, own: bytes, group: int, second: int) -> None:
        self.subject = subject
        self.own = own
        self.group = group
        self.second = second
        self.answered = False
        self.columns = b""
        self.market_time: int | None = None
        self.versions: tuple[str, ...] = ()
        self.conflated: list[tuple[int, int]] | None = None
        self.is_skipped = False
        self.scores = b""
        self.since = 0

    @property
    def position(self) -> tuple[int, int]:
        """Partition and offset of the tick."""
        return self.subject.position

    def answer(self, columns: bytes, versions: tuple[str, ...]) -> None:
        """Answers it with its snapshot.

        Args:
            columns: The market's features, `MARKET_COUNT` float32.
            versions: The model versions that score it.
        """
        self.answered = True
        self.columns, self.market_time, self.versions = columns, self.second * 1000, versions

    def give_up(self, versions: tuple[str, ...]) -> None:
        """Answers it without a snapshot.

        Args:
            versions: The model versions that score it.
        """
        self.answered = True
        self.columns, self.market_time, self.versions = NO_MARKET, None, versions

    def skip(self) -> None:
        """It is never sent to the model: neither its prediction nor its outcome is told."""
        self.answered = self.is_skipped = True

    def replace(self, older: Request) -> None:
        """Is scored alone, in place of an older one and of those that the older one replaces."""
        self.conflated, older.conflated = older.conflated or [], None
        self.conflated.append(older.position)
        older.skip()
