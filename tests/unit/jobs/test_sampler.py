"""Bundles without Beam's thread that samples them."""

from __future__ import annotations

import threading

import pytest
from apache_beam.runners.worker import statesampler
from apache_beam.utils.counters import CounterFactory

from jobs.workers.sampler import install


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler is Beam's own again afterwards."""
    for name in ("start", "stop"):
        monkeypatch.setattr(statesampler.StateSampler, name, getattr(statesampler.StateSampler, name))
    install()


@pytest.mark.usefixtures("_installed")
def test_a_bundle_starts_no_thread_and_the_next_one_may_follow() -> None:
    sampler = statesampler.StateSampler("bundle", CounterFactory())
    threads = threading.active_count()
    for _ in range(2):
        sampler.start()
        with sampler.scoped_state("operation", "process"):
            assert threading.active_count() == threads
            assert statesampler.get_current_tracker() is sampler
        sampler.stop_if_still_running()
        assert statesampler.get_current_tracker() is None
        sampler.reset()
