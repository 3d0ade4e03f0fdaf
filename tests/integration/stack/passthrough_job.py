"""The smallest job with state in Kafka: copies every tick to the topic of late ticks, exactly once."""

from __future__ import annotations

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from jobs.settings import Settings
from jobs.topics import Topic, topic_name

TABLE = """
CREATE TABLE {name} (message STRING) WITH (
  'connector' = 'kafka', 'format' = 'raw', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{servers}', {options}
)
"""
FROM_BEGINNING = "'scan.startup.mode' = 'earliest-offset'"
EXACTLY_ONCE = """
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'passthrough',
  'properties.transaction.timeout.ms' = '900000'
"""


def main(query: str = "SELECT message FROM source") -> None:
    kafka = Settings().kafka
    environment = StreamExecutionEnvironment.get_execution_environment()
    tables = StreamTableEnvironment.create(environment)
    for name, topic, options in (("source", Topic.TICKS, FROM_BEGINNING), ("sink", Topic.LATE, EXACTLY_ONCE)):
        servers = kafka.bootstrap_servers
        tables.execute_sql(TABLE.format(name=name, topic=topic_name(topic, kafka), servers=servers, options=options))
    statements = tables.create_statement_set()
    statements.add_insert_sql(f"INSERT INTO sink {query}")
    statements.attach_as_datastream()
    environment.execute()


if __name__ == "__main__":
    main()
