"""The topology, top to bottom in the order in which a tick travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyflink.common import Types
from pyflink.table import StreamTableEnvironment

from jobs.keyed import keyed_stream, side_output
from jobs.operators import name_operators
from jobs.tables import (
    MESSAGE_HEAD,
    NOW,
    RAW_MESSAGES,
    TRADES,
    create_commands_source,
    create_sink,
    create_ticks_source,
    create_view,
    interval,
)
from jobs.topics import Topic, topic_name
from state.features import SCHEMA_HASH
from state.market_process import COMMAND, MARKET_ALERTS, NOBODY, SECOND, SNAPSHOT, WAKE_UPS, MarketProcess
from state.model_control import ModelControl
from state.rules import MarketRules, load_rules
from state.scoring import Scoring
from state.symbol_process import (
    BROADCAST_SNAPSHOT,
    BYTES,
    KEYED_JSON,
    KINDS,
    MESSAGE,
    NOWHERE,
    OBSERVED,
    RESULTS,
    SNAPSHOTS,
    SymbolProcess,
)
from state.watch_process import DRIFT_ALERTS, WatchProcess
from udfs.artifact import active_version, load_artifact
from udfs.model_check import ModelCheck
from udfs.observer import DriftBaselines, Observers
from udfs.score_ticks import ScoreTicks

if TYPE_CHECKING:
    from pyflink.datastream import StreamExecutionEnvironment

    from jobs.settings import Settings

_OF_SYMBOLS = [Topic(kind) for kind in KINDS]
_OF_MARKET = [Topic.MARKET, Topic.SCORES, Topic.ALERTS]
"""Who writes which topic; both raise alerts."""

_MARKET_LEAD_S = 20
_TICKS_GATHER_MS, _MARKET_GATHER_MS = 5, 100
"""So long the broker gathers messages before it answers a source that keeps up. Answered tick by tick, the sources and
the broker took a fifth of all that the job does at NEPSE's peak; the market is wanted seconds later only."""
_MESSAGE_COLUMNS = {"message_key": "BYTES", "message": "BYTES"}
_NO_TIME = "CAST(TO_TIMESTAMP_LTZ(0, 3) AS TIMESTAMP(3))"
"""Row time of a view whose watermarks alone are wanted: without a row time the planner lets none through."""


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
    sum_up_market(tables, settings, rules, version)
    score_symbols(tables, settings, rules, version)
    watch_quality(tables, settings, rules)
    write(tables, settings)
    name_operators(env)


def read_ticks(tables: StreamTableEnvironment, settings: Settings) -> None:
    """Kafka, watermark per partition: the raw messages, and once more the trades among them for the market."""
    times, market = settings.event_time, settings.market
    create_ticks_source(
        tables,
        "ticks",
        RAW_MESSAGES,
        settings,
        out_of_orderness_s=times.out_of_orderness_s,
        idle_after_s=times.idle_after_s,
        gather_ms=_TICKS_GATHER_MS,
    )
    create_ticks_source(
        tables,
        "market_ticks",
        TRADES,
        settings,
        out_of_orderness_s=market.out_of_orderness_s,
        idle_after_s=market.idle_after_s,
        gather_ms=_MARKET_GATHER_MS,
    )


def sum_up_market(tables: StreamTableEnvironment, settings: Settings, rules: MarketRules, version: str) -> None:
    """All symbols' trades, second by second in the JVM, to one snapshot a second; it names the models in force."""
    clock = "event_time" if settings.event_time.source == "payload" else "record_time"
    times = settings.event_time.in_ms()
    pattern = rules.symbols.pattern.replace("'", "''")
    tables.create_temporary_view(
        "market_trades",
        tables.sql_query(f"""
            SELECT symbol, price, volume, COALESCE(trade_id, '') AS trade_id, {clock} AS row_time
            FROM market_ticks
            WHERE price > 0 AND price <= {rules.limits.max_price} AND volume > 0
              AND volume <= {rules.limits.max_volume}
              AND {clock} >= CAST(TO_TIMESTAMP_LTZ({times.earliest}, 3) AS TIMESTAMP(3))
              AND {clock} - {interval(times.max_ahead)} <= {NOW}"""),  # noqa: S608
    )
    # Patterns are looked for in what a second has come to: in each trade they were a good part of this query's work.
    seconds = tables.sql_query(f"""
        SELECT 0 AS market, ROW(UNIX_TIMESTAMP(CAST(window_start AS STRING)), LISTAGG(summary, ';')), window_time
        FROM (
          SELECT window_start, window_end, window_time,
                 CONCAT(symbol, ':', CAST(LAST_VALUE(price) AS STRING), ':', CAST(SUM(price * volume) AS STRING), ':',
                        CAST(COUNT(*) AS STRING), ':',
                        REGEXP_REPLACE(MAX(trade_id), '[:;]', '')) AS summary
          FROM TABLE(TUMBLE(TABLE market_trades, DESCRIPTOR(row_time), INTERVAL '1' SECOND))
          GROUP BY symbol, window_start, window_end, window_time
          HAVING REGEXP(symbol, '^({pattern})$'))
        GROUP BY window_start, window_end, window_time""")  # noqa: S608
    create_commands_source(tables, "commands", settings)
    commands = tables.sql_query(f"SELECT 0 AS market, ROW(CAST({COMMAND} AS BIGINT), command), row_time FROM commands")  # noqa: S608
    check = ModelCheck(settings.model.directory, SCHEMA_HASH)
    process = MarketProcess(rules, _MARKET_LEAD_S + settings.market.lag_s, ModelControl(version, check))
    market = (
        keyed_stream(tables, Types.INT(), SECOND, seconds, commands)
        .process(process, SNAPSHOT)
        .name("market snapshots")
        .uid("market-snapshots")
        .set_parallelism(1)
    )
    # The market's own watermark runs ahead of the ticks'. Where the ticks fall idle it alone would count, and what
    # still waits for its minute would be given up.
    watermark = f"row_time - {interval(times.out_of_orderness + 1000)}"
    create_view(
        tables,
        "market",
        market,
        {"snapshot_second": "BIGINT", "snapshot": "BYTES", "versions": "STRING", "message": "BYTES"},
        row_time="TO_TIMESTAMP_LTZ(f0 * 1000, 3)",
        watermark=watermark,
    )
    create_view(
        tables,
        "wake_ups",
        side_output(market, WAKE_UPS),
        {"symbol": "STRING", "wake_second": "BIGINT"},
        row_time="CAST(TO_TIMESTAMP_LTZ(f1 * 1000, 3) AS TIMESTAMP(3))",
        watermark=watermark,
    )
    create_view(tables, "market_alerts", side_output(market, MARKET_ALERTS), _MESSAGE_COLUMNS)


def score_symbols(tables: StreamTableEnvironment, settings: Settings, rules: MarketRules, version: str) -> None:
    """Key by symbol; parse, validate, take into the symbol's ListState windows; features, predictions, outcomes, bars.

    The vectorized XGBoost function scores all that a bundle asks at once, in the function that has computed the
    features: as an operator of its own it would have every tick cross to Python a second time, in a second bundle.

    A message finds its symbol by its key, or by the field where it has none. Every subtask sees every snapshot. The
    market wakes the symbols after a restore.
    """
    times, market = settings.event_time, settings.market
    clock = "event_time" if times.source == "payload" else "record_time"
    messages = tables.sql_query(f"""
        SELECT
          CASE WHEN message_key <> '' THEN message_key
               ELSE COALESCE(JSON_VALUE(message, '$.symbol'), '') END AS symbol,
          ROW({MESSAGE_HEAD}, CHAR_LENGTH(message), `partition`, `offset`) AS message,
          {clock}
        FROM ticks""")  # noqa: S608 - names of our own
    wake_ups = tables.sql_query(f"""
        SELECT symbol, ROW(CAST(NULL AS STRING), CAST(NULL AS INT), {NOWHERE}, CAST(0 AS BIGINT)) AS message, row_time
        FROM wake_ups WHERE symbol <> '{NOBODY}'""")  # noqa: S608 - names of our own
    snapshots = tables.to_append_stream(
        tables.sql_query("SELECT snapshot_second, snapshot, versions, row_time FROM market"), BROADCAST_SNAPSHOT
    )
    process = SymbolProcess(
        rules,
        times.in_ms(),
        topic_name(Topic.TICKS, settings.kafka),
        market.lag_s,
        market.patience_ms,
        version,
        Scoring(ScoreTicks(settings.model.directory, version), Observers(settings.model.directory)),
        conflates=settings.overload.policy == "conflate",
    )
    symbols = (
        keyed_stream(tables, Types.STRING(), MESSAGE, messages, wake_ups)
        .connect(snapshots.broadcast(SNAPSHOTS))
        .process(process, RESULTS)
        .name("symbol memory and features")
        .uid("symbol-memory")
    )
    create_view(tables, "lists_of_results", symbols, {"topic": None, "messages": None})
    create_view(tables, "observed", side_output(symbols, OBSERVED), {"observed": "BYTES"}, row_time=_NO_TIME)


def watch_quality(tables: StreamTableEnvironment, settings: Settings, rules: MarketRules) -> None:
    """What the outcomes say of each model version: live scores, minute by minute, and alerts about drift."""
    observed = tables.sql_query("SELECT 0 AS quality, observed, row_time FROM observed")
    process = WatchProcess(
        DriftBaselines(settings.model.directory),
        settings.model.score_minutes,
        rules,
        settings.event_time.in_ms(),
    )
    quality = (
        keyed_stream(tables, Types.INT(), BYTES, observed)
        .process(process, KEYED_JSON)
        .name("live scores and drift")
        .uid("live-scores")
        .set_parallelism(1)
    )
    create_view(tables, "scores", quality, _MESSAGE_COLUMNS)
    create_view(tables, "drift_alerts", side_output(quality, DRIFT_ALERTS), _MESSAGE_COLUMNS)


def write(tables: StreamTableEnvironment, settings: Settings) -> None:
    """Every result topic, exactly once.

    What the symbols give is written by the subtasks that make it, on its way; what the market gives, by one. A sink's
    subtask costs a transaction a checkpoint, however many topics it writes, and ticks wait for those on their way.
    """
    create_sink(tables, "symbol_results", _OF_SYMBOLS, settings, settings.flink.parallelism)
    create_sink(tables, "market_results", _OF_MARKET, settings, 1)
    name = {topic: f"'{topic_name(topic, settings.kafka)}'" for topic in _OF_MARKET}
    results = tables.create_statement_set()
    results.add_insert_sql(f"""
        INSERT INTO symbol_results
        SELECT message_key, message, CONCAT('{settings.kafka.topic_prefix}-', topic)
        FROM lists_of_results CROSS JOIN UNNEST(messages) AS message (message_key, message)""")  # noqa: S608
    results.add_insert_sql(f"""
        INSERT INTO market_results
        SELECT CAST(CAST(snapshot_second AS STRING) AS BYTES), message, {name[Topic.MARKET]} FROM market
        UNION ALL SELECT message_key, message, {name[Topic.SCORES]} FROM scores
        UNION ALL SELECT message_key, message, {name[Topic.ALERTS]} FROM market_alerts
        UNION ALL SELECT message_key, message, {name[Topic.ALERTS]} FROM drift_alerts""")  # noqa: S608
    results.attach_as_datastream()


def _configure(tables: StreamTableEnvironment) -> None:
    config = tables.get_config()
    # Row times are TIMESTAMP(3): in UTC they are the epoch's milliseconds.
    config.set("table.local-time-zone", "UTC")
    config.set("table.exec.uid.generation", "ALWAYS")
