"""Beam's sampler of what a worker is at, without its thread.

For every bundle Beam starts a thread that looks now and then at which operation is at work, and as the bundle ends it
waits until that thread has slept out: 3 ms of a bundle of 20, more of a longer one. PyFlink passes none of what was
seen to Flink. Tried with apache-beam 2.61, which PyFlink 2.2.1 comes with.
"""

from __future__ import annotations

import threading

from apache_beam.runners.worker import statesampler


def _start(self: statesampler.StateSampler) -> None:
    self.tracked_thread = threading.current_thread()
    statesampler.set_current_tracker(self)  # type: ignore[no-untyped-call]
    self.started = True


def _stop(self: statesampler.StateSampler) -> None:
    statesampler.set_current_tracker(None)  # type: ignore[no-untyped-call]
    self.finished = True


def install() -> None:
    """Has the bundles of this process go unwatched from now on."""
    statesampler.StateSampler.start = _start  # type: ignore[method-assign]
    statesampler.StateSampler.stop = _stop  # type: ignore[method-assign]
