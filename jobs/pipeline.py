"""The topology, top to bottom in the order in which a tick travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyflink.common import Types
from pyflink.table import StreamTableEnvironment

from jobs.keyed import keyed_stream, side_output
from jobs.operators import name_operators
from jobs.tables import (
    KEYED_JSON_COLUMNS,
    MESSAGE_HEAD,
    NOW,
    OUTCOME_COLUMNS,
    PREDICTION_COLUMNS,
    PREDICTION_FIELDS,
    RAW_MESSAGES,
    TRADES,
    create_sink,
    create_source,
    create_view,
    interval,
)
from jobs.topics import Topic, topic_name
from state.features import SCHEMA_HASH
from state.market_process import MARKET_ALERTS, SECOND, SNAPSHOT, MarketProcess
from state.rules import MarketRules, load_rules
from state.symbol_process import (
    ALERTS,
    BARS,
    DEAD_LETTERS,
    DEMAND,
    LATE,
    MESSAGE,
    OUTCOMES,
    SCORABLE,
    SymbolProcess,
)
from udfs.artifact import active_version, load_artifact
from udfs.score_ticks import score_ticks

if TYPE_CHECKING:
    from pyflink.datastream import StreamExecutionEnvironment

    from jobs.settings import Settings

_MARKET_LEAD_S = 20


def build_pipeline(env: StreamExecutionEnvironment, settings: Settings) -> None:
    """Adds the whole job to the environment; `env.execute()` runs it.

    Raises:
        ArtifactError: If the model version does not fit, before a tick is taken.
        ValueError: If the market's rules don't.
    """
    rules = load_rules(settings.market.rules_file)
    version = settings.model.version or active_version(settings.model.directory)
    load_artifact(settings.model.directory, version, SCHEMA_HASH)
    tables = StreamTableEnvironment.create(env)
    _configure(tables)

    read_ticks(tables, settings)
    remember_symbols(tables, settings, rules)
    sum_up_market(tables, settings, rules)
    score(tables, settings, rules, version)
    judge(tables)
    write(tables, settings)
    name_operators(env)


def read_ticks(tables: StreamTableEnvironment, settings: Settings) -> None:
    """Kafka, watermark per partition; each message finds its symbol: its key, or the field of an unkeyed one."""
    times, market = settings.event_time, settings.market
    create_source(
        tables,
        "ticks",
        RAW_MESSAGES,
        settings,
        out_of_orderness_s=times.out_of_orderness_s,
        idle_after_s=times.idle_after_s,
    )
    create_source(
        tables,
        "market_ticks",
        TRADES,
        settings,
        out_of_orderness_s=market.out_of_orderness_s,
        idle_after_s=market.idle_after_s,
    )


def remember_symbols(tables: StreamTableEnvironment, settings: Settings, rules: MarketRules) -> None:
    """Key by symbol; parse, validate, take into the symbol's ListState windows; features, bars, alerts, outcomes."""
    times = settings.event_time
    clock = "event_time" if times.source == "payload" else "record_time"
    routed = tables.sql_query(f"""
        SELECT
          CASE WHEN message_key <> '' THEN message_key
               ELSE COALESCE(JSON_VALUE(message, '$.symbol'), '') END AS symbol,
          ROW({MESSAGE_HEAD}, CHAR_LENGTH(message), `partition`, `offset`) AS message,
          {clock}
        FROM ticks""")  # noqa: S608 - names of our own
    process = SymbolProcess(
        rules,
        times.in_ms(),
        topic_name(Topic.TICKS, settings.kafka),
        settings.market.lag_s,
    )
    symbols = (
        keyed_stream(tables, routed, Types.STRING(), MESSAGE)
        .process(process, SCORABLE)
        .name("symbol memory and features")
        .uid("symbol-memory")
    )
    create_view(
        tables,
        "features",
        symbols,
        {
            "symbol": "STRING", "trade_id": "STRING", "price": "DOUBLE", "event_time": "BIGINT", "partition": "INT",
            "offset": "BIGINT", "sequence": "INT", "market_second": "BIGINT", "features": "BYTES",
        },
        row_time="TO_TIMESTAMP_LTZ(f3, 3)",
    )  # fmt: skip
    messages = {"message_key": "STRING", "message": "STRING"}
    create_view(tables, "late", side_output(symbols, LATE), messages)
    create_view(tables, "dead_letters", side_output(symbols, DEAD_LETTERS), messages)
    create_view(tables, "bars", side_output(symbols, BARS), messages)
    create_view(tables, "symbol_alerts", side_output(symbols, ALERTS), messages)
    create_view(tables, "market_demand", side_output(symbols, DEMAND), {"wanted_second": "BIGINT"})
    create_view(
        tables,
        "realised",
        side_output(symbols, OUTCOMES),
        {
            "symbol": "STRING", "event_time": "BIGINT", "due_time": "BIGINT", "partition": "INT", "offset": "BIGINT",
            "price": "DOUBLE", "realised_price": "DOUBLE", "realised": "STRING",
        },
        row_time="TO_TIMESTAMP_LTZ(f2, 3)",
    )  # fmt: skip


def sum_up_market(tables: StreamTableEnvironment, settings: Settings, rules: MarketRules) -> None:
    """All symbols' trades, second by second in the JVM, to one snapshot a second; the JVM does the counting."""
    clock = "event_time" if settings.event_time.source == "payload" else "record_time"
    times = settings.event_time.in_ms()
    pattern = rules.symbols.pattern.replace("'", "''")
    tables.create_temporary_view(
        "market_trades",
        tables.sql_query(f"""
            SELECT symbol, price, volume, COALESCE(REGEXP_REPLACE(trade_id, '[:;]', ''), '') AS trade_id,
                   {clock} AS row_time
            FROM market_ticks
            WHERE price > 0 AND price <= {rules.limits.max_price} AND volume > 0
              AND volume <= {rules.limits.max_volume} AND REGEXP(symbol, '^({pattern})$')
              AND {clock} >= CAST(TO_TIMESTAMP_LTZ({times.earliest}, 3) AS TIMESTAMP(3))
              AND {clock} - {interval(times.max_ahead)} <= {NOW}"""),  # noqa: S608
    )
    seconds = tables.sql_query("""
        SELECT 0 AS market, ROW(UNIX_TIMESTAMP(CAST(window_start AS STRING)), LISTAGG(summary, ';')), window_time
        FROM (
          SELECT window_start, window_end, window_time,
                 CONCAT(symbol, ':', CAST(LAST_VALUE(price) AS STRING), ':', CAST(SUM(price * volume) AS STRING), ':',
                        CAST(COUNT(*) AS STRING), ':', MAX(trade_id)) AS summary
          FROM TABLE(TUMBLE(TABLE market_trades, DESCRIPTOR(row_time), INTERVAL '1' SECOND))
          GROUP BY symbol, window_start, window_end, window_time)
        GROUP BY window_start, window_end, window_time""")
    demand = tables.sql_query("""
        SELECT 0 AS market, ROW(wanted_second, CAST(NULL AS STRING)),
               CAST(TO_TIMESTAMP_LTZ(wanted_second, 0) AS TIMESTAMP(3))
        FROM market_demand""")
    process = MarketProcess(
        rules, lead_s=_MARKET_LEAD_S + settings.market.lag_s, patience_ms=round(settings.market.patience_s * 1000)
    )
    market = (
        keyed_stream(tables, seconds.union_all(demand), Types.INT(), SECOND)
        .process(process, SNAPSHOT)
        .name("market snapshots")
        .uid("market-snapshots")
        .set_parallelism(1)
    )
    create_view(
        tables,
        "market",
        market,
        {"snapshot_second": "BIGINT", "snapshot": "BYTES", "message": "STRING"},
        row_time="TO_TIMESTAMP_LTZ(f0 * 1000, 3)",
        # The market's own watermark runs ahead of the ticks'. Where all inputs fall idle, the furthest one counts, and
        # what still waits for its minute would be given up.
        watermark=f"row_time - {interval(round(settings.event_time.out_of_orderness_s * 1000) + 1000)}",
    )
    create_view(
        tables,
        "market_alerts",
        side_output(market, MARKET_ALERTS),
        {"message_key": "STRING", "message": "STRING"},
    )


def score(tables: StreamTableEnvironment, settings: Settings, rules: MarketRules, version: str) -> None:
    """Each tick meets its market snapshot; the vectorized XGBoost function scores them batch by batch.

    A tick waits for the snapshot of its own second less the lag, so the log decides what it sees, not the moment.
    A tick whose snapshot never comes goes on without one when the watermark has passed it.
    """
    function = score_ticks(settings.model.directory, version, rules.trade_groups.count)
    tables.create_temporary_function("score_ticks", function)
    tables.create_temporary_view(
        "scored",
        tables.sql_query(f"""
            SELECT f.*, m.snapshot_second, score_ticks(f.features, m.snapshot) AS scores
            FROM features AS f LEFT JOIN market AS m
              ON f.market_second = m.snapshot_second
              AND m.row_time BETWEEN f.row_time - {interval((settings.market.lag_s + 1) * 1000)} AND f.row_time"""),  # noqa: S608
    )
    tables.create_temporary_view(
        "predictions",
        tables.sql_query(f"""
            SELECT symbol, event_time, NULLIF(trade_id, '') AS trade_id, price,
                   scores.p_up AS p_up, scores.p_flat AS p_flat, scores.p_down AS p_down,
                   scores.direction AS direction, '{version}' AS model_version, 'active' AS `role`,
                   '{SCHEMA_HASH}' AS feature_schema, snapshot_second * 1000 AS market_time,
                   `partition`, `offset`, sequence, scores.produced_at AS produced_at, row_time
            FROM scored"""),  # noqa: S608
    )


def judge(tables: StreamTableEnvironment) -> None:
    """One minute of event time later, each prediction meets what became of it."""
    tables.create_temporary_view(
        "outcomes",
        tables.sql_query("""
            SELECT p.symbol, p.event_time, r.due_time, p.price, r.realised, r.realised_price,
                   (r.realised_price / p.price - 1) * 10000 AS return_bps,
                   p.p_up, p.p_flat, p.p_down, p.direction, p.direction = r.realised AS correct,
                   -LN(GREATEST(CAST(CASE r.realised WHEN 'up' THEN p.p_up WHEN 'flat' THEN p.p_flat ELSE p.p_down END
                                     AS DOUBLE), 1E-15)) AS log_loss,
                   POWER(p.p_up - IF(r.realised = 'up', 1, 0), 2) + POWER(p.p_flat - IF(r.realised = 'flat', 1, 0), 2)
                     + POWER(p.p_down - IF(r.realised = 'down', 1, 0), 2) AS brier,
                   p.model_version, p.`role`, ROW(p.`partition`, p.`offset`) AS source
            FROM predictions AS p JOIN realised AS r
              ON p.symbol = r.symbol AND p.`partition` = r.`partition` AND p.`offset` = r.`offset`
              AND r.row_time BETWEEN p.row_time AND p.row_time + INTERVAL '60' SECOND"""),
    )


def write(tables: StreamTableEnvironment, settings: Settings) -> None:
    """Every result topic, exactly once."""
    rows = {
        Topic.PREDICTIONS: (PREDICTION_COLUMNS, PREDICTION_FIELDS, "predictions"),
        Topic.OUTCOMES: (OUTCOME_COLUMNS, "*", "outcomes"),
    }
    results = tables.create_statement_set()
    for topic, (columns, fields, view) in rows.items():
        sink = create_sink(tables, topic, settings, columns, "symbol", "json")
        results.add_insert_sql(f"INSERT INTO {sink} SELECT {fields} FROM {view}")  # noqa: S608 - names of our own
    messages = {
        Topic.MARKET: "SELECT CAST(snapshot_second AS STRING), message FROM market",
        Topic.BARS: "SELECT * FROM bars",
        Topic.ALERTS: "SELECT * FROM symbol_alerts UNION ALL SELECT * FROM market_alerts",
        Topic.LATE: "SELECT * FROM late",
        Topic.DEAD_LETTERS: "SELECT * FROM dead_letters",
    }
    for topic, query in messages.items():
        sink = create_sink(tables, topic, settings, KEYED_JSON_COLUMNS, "message_key", "raw")
        results.add_insert_sql(f"INSERT INTO {sink} {query}")
    results.attach_as_datastream()


def _configure(tables: StreamTableEnvironment) -> None:
    config = tables.get_config()
    # Row times are TIMESTAMP(3): in UTC they are the epoch's milliseconds.
    config.set("table.local-time-zone", "UTC")
    config.set("table.exec.uid.generation", "ALWAYS")
    config.set("python.fn-execution.arrow.batch.size", "2000")
