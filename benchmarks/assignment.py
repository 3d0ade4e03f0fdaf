"""What a contestant is told: where the ticks are and where the predictions go. It travels in the environment."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

_PREFIX = "BENCH_"


@dataclass(frozen=True)
class Assignment:
    """One run of one contestant.

    Attributes:
        bootstrap_servers: The broker, host:port.
        ticks: Topic to read, from its beginning.
        predictions: Topic to write.
        group: A name that no other run has: consumer group, transactional ids.
        folder: An empty folder for state.
        partitions: Partitions of both topics.
        workers: How many workers share the work.
        worker: Number of this one, from 0.
        commit_ms: How often results are committed.
        addresses: A free host:port for each worker, comma-separated, to reach the others at.
    """

    bootstrap_servers: str
    ticks: str
    predictions: str
    group: str
    folder: str
    partitions: int
    workers: int
    worker: int
    commit_ms: int
    addresses: str

    def as_environment(self) -> dict[str, str]:
        """Variables that :meth:`from_environment` reads."""
        return {_PREFIX + name.upper(): str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_environment(cls) -> Assignment:
        """This process's assignment."""
        numbers = ("partitions", "workers", "worker", "commit_ms")
        texts = {name: os.environ[_PREFIX + name.upper()] for name in cls.__dataclass_fields__}
        return cls(**{name: int(text) if name in numbers else text for name, text in texts.items()})  # type: ignore[arg-type]

    @property
    def commit_s(self) -> float:
        """How often results are committed, s."""
        return self.commit_ms / 1000
