"""The producer against a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from feeds.producer import TickProducer
from feeds.run import FeedReport, feed
from feeds.source import BadRow, FeedError, RawMessage
from state.tick import Tick, encode_tick

MakeTopic = Callable[..., str]
NOON = 1_721_542_500_000


class Ticks:
    """A source made of a list."""

    def __init__(self, messages: list[Tick | RawMessage]) -> None:
        self.messages = messages
        self.total = len(messages)
        self.bad_rows: list[BadRow] = []

    def __iter__(self) -> Iterator[Tick | RawMessage]:
        return iter(self.messages)


@pytest.fixture
def client_config(kafka_bootstrap_servers: str) -> dict[str, Any]:
    return {"bootstrap_servers": kafka_bootstrap_servers}


def some_ticks(count: int, symbols: int = 7) -> list[Tick | RawMessage]:
    return [Tick(f"SYM{n % symbols}", 100.5, 10, NOON + n, str(n), "42", "7") for n in range(count)]


def records_of(topic: str, client_config: dict[str, Any]) -> list[Any]:
    """All records of a topic, in their order within each partition."""
    consumer = KafkaConsumer(**client_config, isolation_level="read_committed", max_poll_records=20_000)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        records: list[Any] = []
        give_up_at = time.monotonic() + 60
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            assert time.monotonic() < give_up_at, f"only {len(records)} records of {topic} could be read in a minute"
            for batch in consumer.poll(timeout_ms=500).values():
                records += batch
        return records
    finally:
        consumer.close()


def test_a_tick_is_a_record_with_the_symbol_as_key_and_its_time_as_timestamp(
    client_config: dict[str, Any], make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=4)
    ticks = some_ticks(500)
    with TickProducer(client_config, topic) as producer:
        report = feed(Ticks(ticks), producer)
    records = records_of(topic, client_config)
    assert sorted((r.key, r.value, r.timestamp) for r in records) == sorted(
        (tick.symbol.encode(), encode_tick(tick), tick.event_time) for tick in ticks if isinstance(tick, Tick)
    )
    assert (report.sent, report.delivered, report.failed, report.bad_rows) == (500, 500, 0, 0)
    assert (report.first_event_time, report.last_event_time) == (NOON, NOON + 499)
    assert report.ticks_per_s > 0


def test_the_ticks_of_a_symbol_stay_in_one_partition_and_in_order(
    client_config: dict[str, Any], make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=4)
    with TickProducer(client_config, topic) as producer:
        feed(Ticks(some_ticks(5_000, symbols=50)), producer)
    partitions: dict[bytes, set[int]] = {}
    times: dict[bytes, list[int]] = {}
    for record in records_of(topic, client_config):
        partitions.setdefault(record.key, set()).add(record.partition)
        times.setdefault(record.key, []).append(record.timestamp)
    assert all(len(found) == 1 for found in partitions.values())
    assert all(found == sorted(found) for found in times.values())
    assert len(set.union(*partitions.values())) == 4, "the symbols are spread over all partitions"


def test_symbols_go_where_any_other_kafka_client_would_send_them(
    client_config: dict[str, Any], make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=4)
    symbols = [f"SYMBOL{n}" for n in range(40)]
    with TickProducer(client_config, topic) as producer:
        feed(Ticks([Tick(symbol, 1.0, 1, NOON) for symbol in symbols]), producer)
    other = KafkaProducer(**client_config)
    elsewhere = {symbol: other.send(topic, b"x", symbol.encode()).get(timeout=30).partition for symbol in symbols}
    other.close()
    ours = {r.key.decode(): r.partition for r in records_of(topic, client_config) if r.value != b"x"}
    assert ours == elsewhere


def test_a_raw_message_is_sent_as_it_is(client_config: dict[str, Any], make_topic: MakeTopic) -> None:
    topic = make_topic()
    raw: list[Tick | RawMessage] = [
        RawMessage(b"k", b"\xff{", NOON),
        RawMessage(None, b"", NOON),
        RawMessage(b"k", None, NOON),
    ]
    with TickProducer(client_config, topic) as producer:
        assert feed(Ticks(raw), producer).delivered == 3
    records = records_of(topic, client_config)
    assert [(r.key, r.value, r.timestamp) for r in records] == [tuple(message) for message in raw]


def test_a_time_beyond_the_broker_s_bound_spoils_no_other_tick(
    client_config: dict[str, Any], make_topic: MakeTopic
) -> None:
    topic = make_topic(message_timestamp_after_max_ms="10000")
    future = Tick("A", 1.0, 1, 4_000_000_000_000)
    with TickProducer(client_config, topic, max_ahead_ms=10_000) as producer:
        report = feed(Ticks([*some_ticks(10), future, *some_ticks(10)]), producer)
    assert report.delivered == 21
    (record,) = (r for r in records_of(topic, client_config) if r.key == b"A")
    assert record.value == encode_tick(future), "its own time stays, so that the job can refuse it"
    assert record.timestamp < future.event_time


def test_a_refused_delivery_is_not_silent(client_config: dict[str, Any], make_topic: MakeTopic) -> None:
    topic = make_topic(message_timestamp_after_max_ms="10000")
    producer = TickProducer(client_config, topic)
    producer.send(Tick("A", 1.0, 1, 4_000_000_000_000))
    with pytest.raises(FeedError, match=f"1 of 1 messages to {topic} were not delivered; the first one failed with: "):
        producer.flush()
    assert (producer.sent, producer.delivered, producer.failed) == (1, 0, 1)
    with pytest.raises(FeedError), producer:
        producer.send(Tick("A", 1.0, 1, NOON))


def test_a_message_larger_than_the_producer_takes_is_not_silent(
    client_config: dict[str, Any], make_topic: MakeTopic
) -> None:
    topic = make_topic()
    with pytest.raises(FeedError, match="could not be sent"), TickProducer(client_config, topic) as producer:
        producer.send_raw(RawMessage(b"k", b"x" * 2_000_000, NOON))


def test_a_missing_topic_is_said_in_a_sentence(client_config: dict[str, Any]) -> None:
    with pytest.raises(FeedError, match=r"the topic no-such-topic does not exist at .*'tickcast up' creates it"):
        TickProducer(client_config, "no-such-topic")


def test_a_missing_broker_is_said_in_a_sentence() -> None:
    with pytest.raises(FeedError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        TickProducer({"bootstrap_servers": "127.0.0.1:1", "bootstrap_timeout_ms": 2000}, "any")


def test_an_interrupt_ends_the_feed_with_everything_sent_confirmed_and_reported(
    client_config: dict[str, Any], make_topic: MakeTopic
) -> None:
    topic = make_topic()

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    far_apart = [Tick("A", 1.0, 1, NOON), Tick("A", 1.0, 1, NOON), Tick("A", 1.0, 1, NOON + 3_600_000)]
    with TickProducer(client_config, topic) as producer:
        report = feed(Ticks([*far_apart]), producer, speed=1, sleep=interrupt)
    assert report.interrupted
    assert report.sent == report.delivered == len(records_of(topic, client_config)) == 2


def test_a_limit_ends_the_feed(client_config: dict[str, Any], make_topic: MakeTopic) -> None:
    topic = make_topic()
    with TickProducer(client_config, topic) as producer:
        assert feed(Ticks(some_ticks(100)), producer, limit=30).sent == 30
    assert len(records_of(topic, client_config)) == 30


def test_progress_ends_at_the_final_report(client_config: dict[str, Any], make_topic: MakeTopic) -> None:
    seen: list[int] = []

    def watch(report: FeedReport) -> None:
        seen.append(report.delivered)

    with TickProducer(client_config, make_topic()) as producer:
        feed(Ticks(some_ticks(5_000)), producer, on_progress=watch)
    assert seen == sorted(seen)
    assert seen[-1] == 5_000


def test_two_feeds_through_one_producer_are_reported_apart(
    client_config: dict[str, Any], make_topic: MakeTopic
) -> None:
    with TickProducer(client_config, make_topic()) as producer:
        assert feed(Ticks(some_ticks(10)), producer).delivered == 10
        assert feed(Ticks(some_ticks(20)), producer).delivered == 20


def test_more_ticks_than_may_be_unconfirmed_all_arrive(client_config: dict[str, Any], make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=4)
    with TickProducer(client_config, topic) as producer:
        assert feed(Ticks(some_ticks(120_000)), producer).delivered == 120_000
    assert {int(r.value.split(b'"trade_id":"')[1].split(b'"')[0]) for r in records_of(topic, client_config)} == set(
        range(120_000)
    )
