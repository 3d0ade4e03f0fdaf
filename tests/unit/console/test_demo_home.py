"""The demo and folders that are not its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from console.demo_home import start_fresh
from console.errors import CommandError
from jobs.settings import Settings, StackSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_stack_that_no_demo_has_made_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "kafka" / "nepse-ticks-0" / "00000000000000000000.log"
    data.parent.mkdir(parents=True)
    data.write_bytes(b"somebody's ticks")
    said: list[str] = []
    with pytest.raises(CommandError, match=r"no demo's.*tickcast down --purge.*TICKCAST_STACK__HOME"):
        start_fresh(Settings(stack=StackSettings(home=tmp_path)), 100, said.append)
    assert data.read_bytes() == b"somebody's ticks"
    assert said == []
