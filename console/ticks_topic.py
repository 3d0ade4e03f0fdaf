"""The trades that the topic of ticks holds now, in an order of arrival."""

from __future__ import annotations

from heapq import merge
from operator import itemgetter
from typing import TYPE_CHECKING

from console.kafka_io import TopicEnd, open_consumer, poll
from feeds.source import BadRow
from jobs.topics import Topic, topic_name
from state.tick import BadTickError, TickParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafka import KafkaConsumer, TopicPartition

    from jobs.settings import KafkaSettings
    from state.rules import MarketRules
    from state.tick import Tick


class TopicTicks:
    """The committed ticks of the topic up to its present end, as the job would take them.

    Within a partition they come in their order. Between partitions it is not known which came first: the one whose
    newest trade so far is older goes first. A tick that is late, since its partition had gone on by more than the
    job's bound, is left out, and so is the rest of a day that is sent again after later ones.

    Args:
        kafka: Where the broker is.
        rules: The market's rules, for what a valid tick is.
        out_of_orderness_ms: The job's bound.

    Attributes:
        bad_rows: Messages met so far that are no ticks; their line is the offset.
    """

    def __init__(self, kafka: KafkaSettings, rules: MarketRules, out_of_orderness_ms: int) -> None:
        self.bad_rows: list[BadRow] = []
        self._kafka = kafka
        self._parser = TickParser(rules.symbols.pattern, rules.limits.max_price, rules.limits.max_volume)
        self._out_of_orderness_ms = out_of_orderness_ms

    def __iter__(self) -> Iterator[Tick]:
        """Reads the topic from its beginning.

        Raises:
            CommandError: No broker answers, the topic does not exist, or the broker stops answering.
        """
        consumers = [open_consumer(self._kafka, [Topic.TICKS])]
        try:
            partitions = sorted(consumers[0].assignment())
            consumers += (open_consumer(self._kafka, [Topic.TICKS]) for _ in partitions[1:])
            parts = [self._part(*pair) for pair in zip(consumers, partitions, strict=True)]
            for _, tick in merge(*parts, key=itemgetter(0)):
                yield tick
        finally:
            for consumer in consumers:
                consumer.close()

    def _part(self, consumer: KafkaConsumer, partition: TopicPartition) -> Iterator[tuple[int, Tick]]:
        """The ticks of one partition that are not late, each with the newest time up to it."""
        consumer.assign([partition])
        end = TopicEnd(consumer)
        newest = 0
        while not end.reached():
            for record in poll(consumer, timeout_ms=250):
                try:
                    tick = self._parser.parse(record.value, record.timestamp)
                except BadTickError as error:
                    name = f"{topic_name(Topic.TICKS, self._kafka)}, partition {record.partition}"
                    self.bad_rows.append(BadRow(name, record.offset, str(error)))
                    continue
                newest = max(newest, tick.event_time)
                if newest - tick.event_time < self._out_of_orderness_ms:
                    yield newest, tick
