"""The peers' work is the job's, and the field is who it should be."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from benchmarks.assignment import Assignment
from benchmarks.chart import bars
from benchmarks.contestants import journal
from benchmarks.contestants.journal import FOLD_AFTER
from benchmarks.data import Shape, ticks_of_shape
from benchmarks.environments import PEERS
from benchmarks.field import FIELD
from benchmarks.work import Work
from jobs.settings import PROJECT_ROOT
from state.market_state import block_length
from state.tick import encode_tick

TICKS = ticks_of_shape(Shape(3, 400))


def test_a_batch_and_one_after_the_other_give_the_same_messages() -> None:
    single, batched = Work(), Work()
    rows = [batched.take(tick, 0, offset) for offset, tick in enumerate(TICKS)]
    together = [orjson.loads(message) for message in batched.messages(rows)]
    alone = [orjson.loads(single.one(encode_tick(tick), 0, 0, offset)[1]) for offset, tick in enumerate(TICKS)]
    for one, other in zip(together, alone, strict=True):
        assert one | {"produced_at": 0} == other | {"produced_at": 0}
    assert together[-1]["p_up"] + together[-1]["p_flat"] + together[-1]["p_down"] == pytest.approx(1.0)


@pytest.mark.parametrize("crash_at", [1, FOLD_AFTER - 1, FOLD_AFTER, 2 * FOLD_AFTER + 5])
def test_a_memory_that_comes_back_out_of_an_engines_state_goes_on_as_if_nothing_had_been(crash_at: int) -> None:
    symbol = TICKS[0].symbol
    ticks = [tick._replace(symbol=symbol) for tick in TICKS]
    state: dict[str, bytes] = {}
    golden, work = Work(), Work()
    for offset, tick in enumerate(ticks):
        if offset == crash_at:
            work.forget()
        row = journal.take(work, tick, 0, offset, state.get, state.__setitem__)
        assert row.own == golden.take(tick, 0, offset).own
    assert len(state) <= FOLD_AFTER + 1


def test_a_market_block_changes_the_scores_and_no_block_is_a_block_of_unknowns() -> None:
    work = Work()
    rows = [work.take(tick, 0, offset) for offset, tick in enumerate(TICKS)]
    length = block_length(16)
    unknown = np.full(length, np.nan, np.float32)
    rising = np.full(length, 0.5, np.float32)
    assert (work.score(rows) == work.score(rows, [unknown] * len(rows))).all()
    assert (work.score(rows) != work.score(rows, [rising] * len(rows))).any()


def test_the_contestants_have_the_names_that_the_results_promise() -> None:
    assert list(FIELD) == [
        "tickcast", "quixstreams", "bytewax", "faust", "spark", "spark_windows", "pyflink_obvious", "hand_loop",
        "hand_loop_batched", "jvm_floor",
    ]  # fmt: skip


@pytest.mark.parametrize("contestant", [one for one in FIELD.values() if one.engine != "tickcast"])
def test_each_contestant_has_its_script_and_its_locked_environment(contestant: object) -> None:
    name, peer = contestant.name, contestant.peer  # type: ignore[attr-defined]
    assert (PROJECT_ROOT / "benchmarks" / "contestants" / f"{name}.py").is_file()
    if peer:
        assert "--hash=sha256:" in (PEERS / peer / "requirements.lock").read_text(encoding="utf-8")


def test_an_assignment_travels_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assignment = Assignment("127.0.0.1:1", "ticks", "out", "group", "/tmp/x", 4, 2, 1, 500, "127.0.0.1:2")  # noqa: S108
    for name, value in assignment.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Assignment.from_environment() == assignment


def test_the_chart_has_a_bar_for_each_contestant_that_ran_the_fastest_on_top() -> None:
    result = {"ticks_per_s": {"tickcast": 30.0, "faust": 3.0, "jvm_floor": 90.0}, "ratios": {"faust": 10.0}}
    assert [(label.partition("\n")[0], rate) for label, rate, _, _ in bars(result)] == [
        ("Faust", 3.0), ("tickcast", 30.0), ("JVM floor: only read and write", 90.0),
    ]  # fmt: skip
    assert "10.0" in bars(result)[0][2]
