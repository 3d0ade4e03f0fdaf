"""The field: who takes part, what each one guarantees, and how it is started."""

from __future__ import annotations

from typing import Literal, NamedTuple

Engine = Literal["tickcast", "flink", "process", "processes"]


class Contestant(NamedTuple):
    """One contestant.

    Attributes:
        name: Its name in the results.
        engine: "tickcast": the product's own job; "flink": a script for `flink run`; "process": one process that
            shares the work out by itself; "processes": one process a worker.
        guarantee: What a reader of its output may count on, in words.
        peer: Its environment's folder below `benchmarks/peers`; empty: the product's own.
        scores: Whether it makes the predictions that all make, so that they can be compared.
        options: Flink's options, over those of `flink-conf/config.yaml`.
    """

    name: str
    engine: Engine
    guarantee: str
    peer: str = ""
    scores: bool = True
    options: tuple[str, ...] = ()

    @property
    def may_double(self) -> bool:
        """Whether its guarantee lets it answer a tick twice."""
        return self.guarantee.startswith(AT_LEAST)


EXACTLY, AT_LEAST = "exactly once", "at least once"

_FLINK_DEFAULTS = (
    "python.fn-execution.bundle.time=1000",
    # A tenth of the default, which would have all answers come in lumps too large to be timed.
    "python.fn-execution.bundle.size=10000",
    "execution.buffer-timeout.interval=100 ms",
    "pipeline.object-reuse=false",
)

FIELD = {
    one.name: one
    for one in (
        Contestant("tickcast", "tickcast", EXACTLY),
        Contestant("quixstreams", "processes", EXACTLY, "quixstreams"),
        Contestant("bytewax", "processes", AT_LEAST, "bytewax"),
        Contestant("faust", "processes", EXACTLY, "faust"),
        Contestant("spark", "process", AT_LEAST, "spark"),
        Contestant("spark_windows", "process", f"{AT_LEAST}, five minutes late", "spark", scores=False),
        Contestant("pyflink_obvious", "flink", EXACTLY, options=_FLINK_DEFAULTS),
        Contestant("hand_loop", "processes", "exactly once, but for its state", "hand"),
        Contestant("hand_loop_batched", "processes", "exactly once, but for its state", "hand"),
        Contestant("jvm_floor", "flink", EXACTLY, scores=False),
    )
}
"""All contestants by name, tickcast first."""
