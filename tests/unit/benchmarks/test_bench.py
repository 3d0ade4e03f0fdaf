"""The command that runs the benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from console import bench
from console.errors import CommandError
from console.stack.lock import alone

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_bench_leaves_the_first_ones_servers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    with (
        alone(tmp_path / "lock", "the first one holds it"),
        pytest.raises(CommandError, match="another `tickcast bench` is at work"),
    ):
        bench.bench(
            contestants="tickcast",
            rounds=1,
            ticks=2_000,
            symbols=3,
            workers=1,
            limit=1,
            parts="throughput",
            year=False,
            days=1,
            trades=1_000,
            seconds=1,
            warm_up=0,
            idle=0,
            output=tmp_path / "result.json",
            as_json=False,
        )
    assert not (tmp_path / "result.json").exists()
