"""The floor: a Flink SQL job that parses each tick and writes a message as long as a prediction, exactly once.

No Python, no state, no features, no model: what Kafka, JSON and Flink's checkpoints cost by themselves.
"""

from __future__ import annotations

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from benchmarks.assignment import Assignment


def main() -> None:
    """Builds the job and submits it."""
    assignment = Assignment.from_environment()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(assignment.commit_ms)
    env.set_parallelism(assignment.workers)
    tables = StreamTableEnvironment.create(env)
    broker = f"'connector' = 'kafka', 'properties.bootstrap.servers' = '{assignment.bootstrap_servers}'"
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE ticks (
          symbol STRING, price DOUBLE, volume BIGINT, `timestamp` BIGINT, trade_id STRING, buyer STRING, seller STRING,
          `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL
        ) WITH ({broker}, 'topic' = '{assignment.ticks}', 'scan.startup.mode' = 'earliest-offset',
          'properties.group.id' = '{assignment.group}', 'format' = 'json')""")
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE predictions (
          symbol STRING, event_time BIGINT, trade_id STRING, price DOUBLE, p_up FLOAT, p_flat FLOAT, p_down FLOAT,
          direction STRING, model_version STRING, `role` STRING, feature_schema STRING, market_time BIGINT,
          source ROW<`partition` INT, `offset` BIGINT>, sequence INT, produced_at BIGINT
        ) WITH ({broker}, 'topic' = '{assignment.predictions}', 'key.format' = 'raw', 'key.fields' = 'symbol',
          'value.format' = 'json', 'sink.delivery-guarantee' = 'exactly-once',
          'sink.transactional-id-prefix' = '{assignment.group}', 'properties.transaction.timeout.ms' = '900000',
          'properties.compression.type' = 'lz4')""")
    results = tables.create_statement_set()
    results.add_insert_sql("""
        INSERT INTO predictions
        SELECT symbol, `timestamp`, trade_id, price, CAST(0.3333333 AS FLOAT), CAST(0.3333333 AS FLOAT),
               CAST(0.3333333 AS FLOAT), 'flat', 'nepse-0000-00-00', 'active', '0000000000000000', `timestamp`,
               ROW(`partition`, `offset`), 1, `timestamp`
        FROM ticks""")
    results.attach_as_datastream()
    env.execute()


if __name__ == "__main__":
    main()
