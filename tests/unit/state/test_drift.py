from __future__ import annotations

import msgpack
import numpy as np
import pytest

from state.drift import P_UP, DriftBaseline, DriftMonitor

EDGES = np.linspace(0.1, 0.9, 9).tolist()
EVEN = {"edges": EDGES, "shares": [0.1] * 10, "missing": 0.0, "ordinary_psi": 0.0}


def new_baseline(**first: object) -> DriftBaseline:
    features = {"x": EVEN | first, "y": {"edges": [0.5], "shares": [0.5, 0.5], "missing": 0.5, "ordinary_psi": 0.0}}
    return DriftBaseline({"features": features, "probabilities": {"up": EVEN}}, ("x", "y"))


def rows(shift: float = 0.0, count: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the distribution of the baseline, the first feature shifted."""
    even = ((np.arange(count) + 0.5) / count).astype(np.float32)
    y = even.copy()
    y[::2] = np.nan
    return np.column_stack([even + np.float32(shift), y]), even


def watch(monitor: DriftMonitor, baseline: DriftBaseline, *shifts: float) -> list[tuple[str, bool]]:
    """What is raised and cleared while slices with these shifts go by."""
    events = []
    for shift in shifts:
        number = monitor.newest + 1 if monitor._slices else 0
        events += monitor.take(number, baseline.counts(*rows(shift)))
    return [(event.feature, event.raised) for event in events]


def new_monitor(baseline: DriftBaseline) -> DriftMonitor:
    return DriftMonitor(baseline, window_slices=4, hold_slices=2)


def test_rows_of_the_baselines_distribution_have_an_index_of_nought() -> None:
    baseline = new_baseline()
    assert baseline.names == ("x", "y", P_UP)
    np.testing.assert_allclose(baseline.psi(baseline.counts(*rows())), 0.0, atol=1e-12)


def test_the_index_is_the_sum_over_the_bins_and_the_missing() -> None:
    baseline = new_baseline()
    block, p_up = rows()
    block[:, 1] = np.where(np.arange(1000) < 800, np.nan, 0.2)  # of (.25, .25, .5) in training, now (.2, 0, .8)
    now, then = np.array([0.2, 1e-4, 0.8]), np.array([0.25, 0.25, 0.5])
    expected = ((now - then) * np.log(now / then)).sum()
    assert baseline.psi(baseline.counts(block, p_up))[1] == pytest.approx(expected, rel=1e-3)


def test_a_value_on_an_edge_belongs_to_the_bin_above() -> None:
    counts = new_baseline().counts(np.array([[0.0, 0.5], [0.0, 0.4]], np.float32), np.zeros(2, np.float32))
    assert counts[1, :2].tolist() == [1, 1]


def test_counts_of_batches_add_up() -> None:
    baseline = new_baseline()
    block, p_up = rows()
    parts = baseline.counts(block[:300], p_up[:300]) + baseline.counts(block[300:], p_up[300:])
    np.testing.assert_array_equal(parts, baseline.counts(block, p_up))


def test_drift_is_raised_once_when_it_has_lasted_and_cleared_once_when_it_has_gone() -> None:
    baseline = new_baseline()
    monitor = new_monitor(baseline)
    assert watch(monitor, baseline, 0, 0, 0, 0, 0) == []
    assert watch(monitor, baseline, 2) == []  # the window begins to shift
    assert watch(monitor, baseline, 2) == [("x", True)]
    assert watch(monitor, baseline, 2, 2, 2) == []
    assert watch(monitor, baseline, 0, 0, 0) == []
    assert watch(monitor, baseline, 0) == [("x", False)]


def test_a_shift_that_does_not_last_raises_nothing() -> None:
    baseline = new_baseline()
    monitor = DriftMonitor(baseline, window_slices=2, hold_slices=3)
    assert watch(monitor, baseline, 0, 0, 2, 0, 0, 0, 0) == []


def test_nothing_is_judged_before_the_window_is_full() -> None:
    baseline = new_baseline()
    monitor = new_monitor(baseline)
    assert watch(monitor, baseline, 2, 2, 2) == []
    assert (monitor.is_full, monitor.worst) == (False, 0.0)
    assert watch(monitor, baseline, 2) == []
    assert (monitor.is_full, monitor.worst > 1.0) == (True, True)
    assert watch(monitor, baseline, 2) == [("x", True)]


def test_what_was_ordinary_in_training_is_no_drift() -> None:
    index = float(new_baseline().psi(new_baseline().counts(*rows(0.35)))[0])
    assert index > 0.25
    wild = new_baseline(ordinary_psi=index * 0.6)
    monitor = new_monitor(wild)
    assert watch(monitor, wild, *[0.35] * 8) == []
    assert watch(monitor, wild, *[2] * 8) == [("x", True)]


def test_a_version_that_does_not_say_what_was_ordinary_raises_nothing() -> None:
    silent = {name: value for name, value in EVEN.items() if name != "ordinary_psi"}
    older = DriftBaseline({"features": {"x": silent}, "probabilities": {"up": silent}}, ("x",))
    block, p_up = rows(2.0)
    monitor = new_monitor(older)
    assert [monitor.take(number, older.counts(block[:, :1], p_up)) for number in range(8)] == [[]] * 8
    assert monitor.worst == 0.0


def test_an_event_names_the_index_and_the_threshold() -> None:
    baseline = new_baseline()
    monitor = new_monitor(baseline)
    counts = baseline.counts(*rows(2.0))
    for number in range(5):
        (event,) = monitor.take(number, counts) or [None]
    assert event is not None
    assert (event.feature, event.threshold) == ("x", 0.25)
    assert event.psi == pytest.approx(baseline.psi(counts)[0])
    assert monitor.worst == pytest.approx(event.psi / 0.25)


def test_hours_without_trades_do_not_empty_the_window() -> None:
    baseline = new_baseline()
    monitor = new_monitor(baseline)
    watch(monitor, baseline, 0, 0, 0, 0)
    monitor.take(1_000, baseline.counts(*rows()))
    assert (monitor.is_full, monitor.oldest, monitor.newest) == (True, 1, 1_000)


def reloaded(monitor: DriftMonitor, baseline: DriftBaseline) -> DriftMonitor:
    return DriftMonitor.load(baseline, 4, 2, msgpack.unpackb(msgpack.packb(monitor.dump())))


def test_a_loaded_monitor_goes_on_as_the_dumped_one() -> None:
    baseline = new_baseline()
    monitor = new_monitor(baseline)
    watch(monitor, baseline, 0, 0, 0, 0, 2)
    loaded = reloaded(monitor, baseline)
    assert loaded.worst == monitor.worst
    assert watch(loaded, baseline, 2) == watch(monitor, baseline, 2) == [("x", True)]
    assert watch(reloaded(loaded, baseline), baseline, 2) == []  # it remembers what it has raised
