"""What a Python worker does otherwise than PyFlink has it, in one place."""

from __future__ import annotations

import sys

from jobs.workers import bundles, control_channel, counters, data_channel, rows, sampler, state_channel

_SWITCH_S = 0.0005
"""A worker computes in one thread and speaks to Flink in others: so long a message that has come waits for the
interpreter at most, instead of Python's 5 ms, once in each direction of each bundle."""


def tune() -> None:
    """Tunes this process, which is a worker or will fork workers."""
    bundles.install()
    control_channel.install()
    counters.install()
    data_channel.install()
    rows.install()
    sampler.install()
    state_channel.install()
    sys.setswitchinterval(_SWITCH_S)
