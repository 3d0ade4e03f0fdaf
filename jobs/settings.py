"""Every setting of tickcast, in one object.

Each field is set by an environment variable: ``TICKCAST_`` + the path to the field, in capitals,
joined by two underscores (``TICKCAST_KAFKA__BOOTSTRAP_SERVERS``). An unknown name is refused, and
so is a value of the wrong kind. The defaults run against the local stack of ``tickcast up``.

A secret may stand in a file instead, which the variable of the same name with ``_FILE`` names. No
error repeats a value, for it may be a secret.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from state.intake import TickTimes

PROJECT_ROOT = Path(__file__).resolve().parents[1]

Seconds = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _take_secrets_from_files(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        named = [name for name, field in cls.model_fields.items() if field.annotation is SecretStr]
        in_files = [name for name in named if values.get(f"{name}_file")]
        if both := [name.upper() for name in in_files if name in values]:
            raise ValueError(f"set {both[0]} or {both[0]}_FILE, not both")
        return values | {name: _secret_in(str(values[f"{name}_file"]), name) for name in in_files}


def _secret_in(file: str, name: str) -> str:
    """What stands in a file, without the end of its last line."""
    try:
        return Path(file).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"{name.upper()}_FILE names {file}, which can't be read: {reason}") from None


class KafkaSettings(_Section):
    """The broker, and how to log on to it."""

    bootstrap_servers: str = Field("127.0.0.1:19092", description="Brokers, host:port, comma-separated.")
    topic_prefix: str = Field("nepse", description="First part of every topic's name.")
    partitions: int = Field(4, ge=1, description="Partitions of each topic that tickcast creates.")
    replication_factor: int = Field(1, ge=1, description="Replicas of each topic that tickcast creates.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How clients and the job talk to the broker."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Used with the SASL protocols."
    )
    sasl_username: str = Field("", description="User for SASL.")
    sasl_password: SecretStr = Field(SecretStr(""), description="Password for SASL.")
    sasl_password_file: str = Field("", description="File with the password, instead of the variable above.")
    ssl_ca_file: str = Field(
        "",
        description="PEM file of the authority that signed the broker's certificate; empty: those this machine trusts.",
    )


class EventTimeSettings(_Section):
    """What counts as the time of a trade, and how long the job waits for the stragglers."""

    source: Literal["record", "payload"] = Field(
        "record",
        description="Clock of the watermark: the Kafka record's timestamp, or the message's own `timestamp` field.",
    )
    out_of_orderness_s: Seconds = Field(
        15, description="How far behind its partition's newest trade a tick may arrive."
    )
    max_ahead_s: Seconds = Field(
        10, description="How far a trade's time may be ahead of this machine's clock before it is a dead letter."
    )
    earliest: str = Field("2000-01-01T00:00:00Z", description="A trade older than this is a dead letter.")
    idle_after_s: Seconds = Field(
        15, description="A silent partition stops holding the watermark back after this long."
    )
    aligned_within_s: Seconds = Field(
        300, description="A partition is not read further than this ahead of the slowest one."
    )
    close_after_s: Seconds = Field(
        90, description="When no tick at all has come for this long, open bars and outcomes are settled as they are."
    )

    def in_ms(self) -> TickTimes:
        """The bounds on a tick's time as the job and `tickcast verify` hold them against it."""
        return TickTimes(
            out_of_orderness=round(self.out_of_orderness_s * 1000),
            max_ahead=round(self.max_ahead_s * 1000),
            earliest=round(datetime.fromisoformat(self.earliest).timestamp() * 1000),
            close_after=round(self.close_after_s * 1000),
        )


class MarketSettings(_Section):
    """The market's rules and how its state is shared with every symbol."""

    rules_file: Path = Field(
        PROJECT_ROOT / "flink-conf" / "markets" / "nepse.yaml",
        description="Hours, days, price bands and circuit breakers.",
    )
    # A second is over and held open: its snapshot is made when the third second after it begins. A tick of that second
    # would wait for it until it has come through the job.
    lag_s: int = Field(4, ge=1, description="A tick is scored with the market snapshot of this many seconds before it.")
    out_of_orderness_s: Seconds = Field(
        2,
        description=(
            "How long a second of the market is held open for trades that arrive behind others. Two seconds less than"
            " `lag_s`, or ticks wait for their snapshot."
        ),
    )
    idle_after_s: Seconds = Field(
        0.5, description="A silent partition stops holding the market's seconds open after this long."
    )
    patience_s: Seconds = Field(
        2, description="A tick waits so long for its market snapshot, then it is scored without one."
    )

    @property
    def patience_ms(self) -> int:
        """The patience in ms."""
        return round(self.patience_s * 1000)


class OverloadSettings(_Section):
    """What the job does when ticks come faster than it can score them."""

    policy: Literal["keep", "conflate"] = Field(
        "keep",
        description=(
            "`keep` scores every tick, however late; `conflate` scores only the newest of a symbol's waiting ticks, and"
            " its prediction names those that were skipped."
        ),
    )


class ModelSettings(_Section):
    """Which model scores."""

    directory: Path = Field(PROJECT_ROOT / "model_artifacts", description="Folder with one folder per version.")
    version: str = Field(
        "", description="Version that scores in a job without state; empty: the one named in `<directory>/ACTIVE`."
    )
    score_minutes: int = Field(60, ge=1, description="Minutes of event time over which live scores are taken.")


class FlinkSettings(_Section):
    """The cluster and the job's way of running on it."""

    rest_address: str = Field("http://127.0.0.1:8081", description="The JobManager's REST address and web UI.")
    parallelism: int = Field(2, ge=1, description="Parallel subtasks of each operator.")
    checkpoint_interval_ms: int = Field(
        250, ge=50, description="Results become visible to read_committed readers at this pace."
    )
    checkpoint_dir: str = Field("", description="URI of checkpoints and savepoints; empty: inside the stack's folder.")
    transaction_timeout_ms: int = Field(
        900_000, ge=60_000, description="Longest outage after which the sinks' open transactions can still commit."
    )
    bounded: bool = Field(
        False,
        description=(
            "Read up to the topic's present end, then finish. For logs of up to an hour of trading: partitions are not"
            " aligned then, and a market that is read further ahead is gone when its ticks come."
        ),
    )


class RedisSettings(_Section):
    """The low-latency view."""

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:16379/0"), description="redis:// address, or rediss:// with TLS."
    )
    url_file: str = Field("", description="File with the address, instead of the variable above.")
    ssl_ca_file: str = Field(
        "", description="PEM file of the authority that signed Redis' certificate; empty: those this machine trusts."
    )
    stream_length: int = Field(10_000, ge=1, description="Entries kept in the stream `tickcast:predictions`.")


class PostgresSettings(_Section):
    """The history."""

    dsn: SecretStr = Field(
        SecretStr("postgresql://tickcast@127.0.0.1:15432/tickcast"), description="libpq connection string."
    )
    dsn_file: str = Field("", description="File with the connection string, instead of the variable above.")
    ssl_mode: Literal["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "", description="libpq's `sslmode`; empty: as the connection string has it. Only `verify-full` is safe."
    )
    ssl_ca_file: str = Field("", description="PEM file of the authority that signed PostgreSQL's certificate.")


class StackSettings(_Section):
    """The local stack of `tickcast up`."""

    home: Path = Field(Path(".tickcast"), description="Folder for the stack's data, logs and process ids.")
    task_slots: int = Field(2, ge=1, description="Task slots of the local TaskManager.")


class Settings(BaseSettings):
    """All settings. Build it once at the edge of a program and hand it in."""

    model_config = SettingsConfigDict(
        env_prefix="TICKCAST_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    kafka: KafkaSettings = KafkaSettings()
    event_time: EventTimeSettings = EventTimeSettings()
    market: MarketSettings = MarketSettings()
    overload: OverloadSettings = OverloadSettings()
    model: ModelSettings = ModelSettings()
    flink: FlinkSettings = FlinkSettings()
    redis: RedisSettings = RedisSettings()
    postgres: PostgresSettings = PostgresSettings()
    stack: StackSettings = StackSettings()

    @cached_property
    def home(self) -> Path:
        """The stack's folder as an absolute path."""
        return self.stack.home if self.stack.home.is_absolute() else Path.cwd() / self.stack.home
