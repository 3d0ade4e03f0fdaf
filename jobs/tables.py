"""The job's tables: Kafka topics to read from and to write to exactly once, and views on Python's streams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pyflink.table import Schema

from jobs.topics import Topic, consumer_group, topic_name
from state.tick import MAX_RAW_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyflink.datastream import DataStream
    from pyflink.table import StreamTableEnvironment

    from jobs.settings import KafkaSettings, Settings

NOW = "CAST(CURRENT_ROW_TIMESTAMP() AS TIMESTAMP(3))"
"""SQL of the machine's clock, in UTC as all event times are."""

_ISO_8601 = "^([0-9-]{10})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})([.][0-9]+)?(Z|([+-])([0-9]{2}):?([0-9]{2}))$"
"""Date, time, fraction of a second, zone; its sign, hours and minutes."""


_ENOUGH_BYTES, _MOST_BYTES = 65_536, 131_072
"""A source that is behind finds so many at once; to one that keeps up the broker sends what has come in a while. No
more than so many come from one partition at a time (but for a single message that is longer), or a source that reads
history would be days further in one partition than in the next."""


class SourceForm(NamedTuple):
    """How a source table reads the messages of the ticks' topic.

    Attributes:
        columns: SQL of its columns.
        formats: Connector options of key and value.
        payload_time: SQL of the text of the message's own `timestamp`.
    """

    columns: str
    formats: dict[str, str]
    payload_time: str


RAW_MESSAGES = SourceForm(
    "message_key STRING, message STRING, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL",
    {
        "key.format": "raw",
        "key.fields": "message_key",
        "value.format": "raw",
        "value.raw.charset": "ISO-8859-1",
        "value.fields-include": "EXCEPT_KEY",
    },
    "JSON_VALUE(message, '$.timestamp')",
)
"""Every message with its position. Each byte is one character, so that it comes through unharmed whatever it holds."""

TRADES = SourceForm(
    "symbol STRING, price DOUBLE, volume BIGINT, trade_id STRING, `timestamp` STRING",
    {"value.format": "json", "value.json.ignore-parse-errors": "true"},
    "`timestamp`",
)
"""The fields of those messages that are trades, parsed in the JVM; what is wrong is null, or no row at all."""


def create_ticks_source(
    tables: StreamTableEnvironment,
    name: str,
    form: SourceForm,
    settings: Settings,
    *,
    out_of_orderness_s: float,
    idle_after_s: float,
    gather_ms: int,
) -> None:
    """The ticks' topic with its event time.

    The watermark follows each partition's newest event time; a time further ahead of the clock than
    `event_time.max_ahead_s` does not move it. It lags by one millisecond more than the bound: a tick exactly at the
    bound is not late.
    """
    times = settings.event_time
    from_payload = times.source == "payload"
    clock = "event_time" if from_payload else "record_time"
    ahead_ms, behind_ms = round(times.max_ahead_s * 1000), round(out_of_orderness_s * 1000) + 1
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE {name} (
          {form.columns},
          record_time TIMESTAMP(3) METADATA FROM 'timestamp',
          {f"event_time AS {_payload_time(form.payload_time)}," if from_payload else ""}
          WATERMARK FOR {clock} AS CASE
            WHEN {clock} - {interval(ahead_ms)} <= {NOW}
            THEN {clock} - {interval(behind_ms)} END
        ) WITH (
          {_options(_client(settings.kafka))},
          'topic' = '{topic_name(Topic.TICKS, settings.kafka)}',
          'properties.group.id' = '{consumer_group(f"job-{name.replace('_', '-')}", settings.kafka)}',
          'properties.max.partition.fetch.bytes' = '{_MOST_BYTES}',
          'properties.fetch.min.bytes' = '{_ENOUGH_BYTES}',
          'properties.fetch.max.wait.ms' = '{gather_ms}',
          'scan.startup.mode' = 'earliest-offset',
          'scan.bounded.mode' = '{"latest-offset" if settings.flink.bounded else "unbounded"}',
          {_options(form.formats)},
          'scan.watermark.idle-timeout' = '{round(idle_after_s * 1000)} ms'
          {"" if settings.flink.bounded else f", {_options(_alignment(times.aligned_within_s))}"}
        )""")


def _alignment(within_s: float) -> dict[str, str]:
    """Not for a bounded source: connector 5.0.0 fails when it is to hold a partition that has ended (FLINK-39728)."""
    return {
        "scan.watermark.alignment.group": "ticks",
        "scan.watermark.alignment.max-drift": f"{round(within_s * 1000)} ms",
        "scan.watermark.alignment.update-interval": "200 ms",
    }


def create_commands_source(tables: StreamTableEnvironment, name: str, settings: Settings) -> None:
    """The control topic of the models. Its event time stands still at the epoch: commands move nobody's watermark."""
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE {name} (
          command STRING,
          row_time AS CAST(TO_TIMESTAMP_LTZ(0, 3) AS TIMESTAMP(3)),
          WATERMARK FOR row_time AS row_time
        ) WITH (
          {_options(_client(settings.kafka))},
          'topic' = '{topic_name(Topic.MODELS, settings.kafka)}',
          'properties.group.id' = '{consumer_group("job-commands", settings.kafka)}',
          'scan.startup.mode' = 'earliest-offset',
          'scan.bounded.mode' = '{"latest-offset" if settings.flink.bounded else "unbounded"}',
          'scan.parallelism' = '1',
          'scan.watermark.idle-timeout' = '500 ms',
          'value.format' = 'raw'
        )""")


def create_sink(
    tables: StreamTableEnvironment, name: str, topics: Iterable[Topic], settings: Settings, parallelism: int
) -> None:
    """Topics that are written exactly once: the table's rows are a finished message, its key, and its topic's name.

    Args:
        tables: The table environment.
        name: Name of the table; the names of the sink's transactions begin with it, after the topics' prefix.
        topics: Those that may be written.
        settings: The job's.
        parallelism: Subtasks; each of them has one transaction a checkpoint, whatever it writes.
    """
    kafka = settings.kafka
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE {name} (message_key BYTES, message BYTES, topic STRING METADATA) WITH (
          {_options(_client(kafka))},
          'topic' = '{";".join(topic_name(topic, kafka) for topic in topics)}',
          'key.format' = 'raw', 'key.fields' = 'message_key',
          'value.format' = 'raw',
          'value.fields-include' = 'EXCEPT_KEY',
          'sink.parallelism' = '{parallelism}',
          'sink.delivery-guarantee' = 'exactly-once',
          'sink.transactional-id-prefix' = '{kafka.topic_prefix}-{name.replace("_", "-")}',
          'properties.transaction.timeout.ms' = '{settings.flink.transaction_timeout_ms}',
          'properties.linger.ms' = '0',
          'properties.compression.type' = 'lz4'
        )""")


def create_view(
    tables: StreamTableEnvironment,
    name: str,
    stream: DataStream,
    columns: Mapping[str, str | None],
    row_time: str | None = None,
    watermark: str = "SOURCE_WATERMARK()",
) -> None:
    """A stream of tuples as a view with named columns.

    Args:
        tables: The table environment.
        name: Name of the view.
        stream: Tuples f0, f1, …
        columns: Names and SQL types, in order; None in place of all types: as the stream has them.
        row_time: SQL expression over f0, f1, … that gives the event time.
        watermark: SQL expression over `row_time`; by default the stream's own watermarks go on.
    """
    schema = Schema.new_builder()
    for number, kind in enumerate(columns.values()):
        if kind is not None:
            schema.column(f"f{number}", kind)
    if row_time is not None:
        schema.column_by_expression("row_time", row_time).watermark("row_time", watermark)
    # The stream's view keeps the engine's names; the one beside it has ours.
    tables.create_temporary_view(f"{name}_stream", stream, schema.build())
    names = ", ".join(f"f{number} AS `{column}`" for number, column in enumerate(columns))
    extra = ", row_time" if row_time is not None else ""
    tables.create_temporary_view(name, tables.sql_query(f"SELECT {names}{extra} FROM {name}_stream"))  # noqa: S608


def interval(milliseconds: int) -> str:
    """A SQL interval."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"INTERVAL '{hours // 24} {hours % 24:02d}:{minutes:02d}:{seconds:02d}.{rest:03d}' DAY TO SECOND(3)"


def _payload_time(text: str) -> str:
    """SQL of the time that a message states, epoch ms or ISO-8601 with a zone; the record's time for anything else.

    Flink's own parsing of times takes a zone's offset in the text for part of the format and ignores it.
    """

    def part(number: int) -> str:
        return f"REGEXP_EXTRACT({text}, '{_ISO_8601}', {number})"

    iso = f"""
      CASE WHEN REGEXP({text}, '{_ISO_8601}') THEN
        1000 * (UNIX_TIMESTAMP(CONCAT({part(1)}, ' ', {part(2)}))
                - IF({part(5)} = '-', -60, 60)
                  * COALESCE(60 * TRY_CAST({part(6)} AS INT) + TRY_CAST({part(7)} AS INT), 0))
        + CAST(ROUND(1000 * COALESCE(TRY_CAST(CONCAT('0', {part(3)}) AS DOUBLE), 0)) AS BIGINT)
      END"""
    milliseconds = f"COALESCE(TRY_CAST({text} AS BIGINT), {iso})"
    return f"COALESCE(CAST(TO_TIMESTAMP_LTZ({milliseconds}, 3) AS TIMESTAMP(3)), record_time)"


MESSAGE_HEAD = (
    f"CASE WHEN CHAR_LENGTH(message) > {MAX_RAW_BYTES} THEN SUBSTRING(message, 1, {MAX_RAW_BYTES}) ELSE message END"
)
"""The message, cut at the size above which it is refused: what is longer never travels to Python."""


def _client(kafka: KafkaSettings) -> dict[str, str]:
    """Connector options to reach the broker; the password stays out of the job graph.

    A configuration provider of Kafka's fills it in when a client starts, from the environment or the file of the
    process that starts it. It puts the text between quotation marks as it is.

    Raises:
        ValueError: If the password holds what would end there.
    """
    options = {
        "connector": "kafka",
        "properties.bootstrap.servers": kafka.bootstrap_servers,
        "properties.security.protocol": kafka.security_protocol,
    }
    if kafka.ssl_ca_file:
        options |= {"properties.ssl.truststore.type": "PEM", "properties.ssl.truststore.location": kafka.ssl_ca_file}
    if kafka.security_protocol.startswith("SASL"):
        module = "plain.PlainLoginModule" if kafka.sasl_mechanism == "PLAIN" else "scram.ScramLoginModule"
        options |= {
            "properties.sasl.mechanism": kafka.sasl_mechanism,
            "properties.config.providers": "secret",
            "properties.sasl.jaas.config": (
                f"{_KAFKA}.security.{module} required "
                f'username="{_quotable(kafka.sasl_username)}" password="{_password(kafka)}";'
            ),
        }
        provider = "properties.config.providers.secret"
        if kafka.sasl_password_file:
            folder = str(Path(kafka.sasl_password_file).parent)
            options |= {f"{provider}.class": f"{_KAFKA}.config.provider.DirectoryConfigProvider"}
            options |= {f"{provider}.param.allowed.paths": folder}
        else:
            options |= {f"{provider}.class": f"{_KAFKA}.config.provider.EnvVarConfigProvider"}
            options |= {f"{provider}.param.allowlist.pattern": _PASSWORD_VARIABLE}
    return options


_KAFKA = "org.apache.flink.kafka.shaded.org.apache.kafka.common"
"""Where the connector's jar has Kafka's classes: it brings them under a name of its own."""
_PASSWORD_VARIABLE = "TICKCAST_KAFKA__SASL_PASSWORD"  # noqa: S105 - its name


def _password(kafka: KafkaSettings) -> str:
    """Where the password is found, in the words of Kafka's configuration providers."""
    _quotable(kafka.sasl_password.get_secret_value())
    if not kafka.sasl_password_file:
        return f"${{secret:{_PASSWORD_VARIABLE}}}"
    file = Path(kafka.sasl_password_file)
    if file.read_text(encoding="utf-8") != kafka.sasl_password.get_secret_value():
        raise ValueError(
            f"{file} ends with a line break, which Kafka's clients in the job would take for a part of the password:"
            " remove it, for instance with `truncate --size=-1`"
        )
    return f"${{secret:{file.parent}:{file.name}}}"


def _quotable(text: str) -> str:
    if set(text) & set('"\\\n'):
        raise ValueError(
            "Kafka's clients in the job can't take a user name or password with a quotation mark, a backslash or a line"
            " break: choose another"
        )
    return text


def _options(options: dict[str, str]) -> str:
    return ", ".join(f"'{name}' = '{_quoted(value)}'" for name, value in options.items())


def _quoted(text: str) -> str:
    return text.replace("'", "''")
