"""`tickcast train`, `evaluate` and `model` as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

FIRST_OPEN = datetime(2024, 7, 7, 5, 15, tzinfo=UTC)  # 11:00 in Kathmandu


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of trades in a plain CSV file each."""
    folder = tmp_path_factory.mktemp("trades")
    for number in range(4):
        random = np.random.default_rng(number)
        day = FIRST_OPEN + timedelta(days=number)
        times = np.sort(random.integers(0, 4 * 3600 * 1000, 1500))
        moves = random.choice([-0.1, 0.0, 0.1], size=1500)
        lines = [
            f"SYM{i % 7},{500 + moves[: i + 1].sum():.1f},{10 * (1 + i % 5)},{int(day.timestamp() * 1000) + times[i]}"
            for i in range(1500)
        ]
        (folder / f"{day:%Y-%m-%d}.csv").write_text("\n".join(["symbol,price,volume,timestamp", *lines, ""]))
    return folder


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command with models and working files in the folder."""
    environment = os.environ | {
        "TICKCAST_MODEL__DIRECTORY": str(folder / "models"),
        "TICKCAST_STACK__HOME": str(folder / "home"),
    }
    command = [sys.executable, "-m", "console.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)


def last_object(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def days(folder: Path, *numbers: int) -> list[Path]:
    files = sorted(folder.glob("*.csv"))
    return [files[number] for number in numbers]


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, Any]:
    """What training `v1` on the first three days, and making it active, printed."""
    files = days(folder, 0, 1, 2)
    return last_object(
        run(folder, "train", "--version", "v1", "--rounds", "3", "--activate", "--json", "--data", *files)
    )


def test_a_trained_version_is_active_and_listed(folder: Path, trained: dict[str, Any]) -> None:
    assert trained["version"] == "v1"
    listed = last_object(run(folder, "model", "list", "--json"))
    assert listed["active"] == "v1"
    assert [(version["first_day"], version["last_day"]) for version in listed["versions"]] == [
        ("2024-07-07", "2024-07-09")
    ]


@pytest.mark.usefixtures("trained")
def test_it_is_evaluated_on_a_later_day(folder: Path) -> None:
    measures = last_object(
        run(folder, "evaluate", "--model", "v1", "--json", "--data", *days(folder, 2, 3), "--from", "2024-07-10")
    )
    assert (measures["trades"], measures["days"], measures["by_day"][0]["day"]) == (1500, 1, "2024-07-10")
    assert set(measures["non_flat"]) >= {"auc", "accuracy", "log_loss", "top_decile_precision"}
    assert set(measures["three_class"]) == {"log_loss", "macro_f1", "accuracy"}
    assert 0.0 <= measures["ece_p_up"] <= 1.0
    assert measures["without_odd_lots"]["trades"] == 1500
    assert [row["hour"] for row in measures["by_hour"]] == [11, 12, 13, 14]
    assert sum(row["symbols"] for row in measures["by_group"]) == 7
    assert measures["placebo"]["auc"] == pytest.approx(0.5, abs=0.1)
    assert set(measures["baselines"]) == {"majority", "last_move_sign", "market_breadth_sign"}


@pytest.mark.usefixtures("trained")
def test_a_day_of_the_training_window_is_evaluated_only_when_asked_for(folder: Path) -> None:
    refused = run(folder, "evaluate", "--model", "v1", "--data", *days(folder, 1))
    assert refused.returncode == 1
    assert "2024-07-08 lies within the training window of v1" in refused.stderr
    assert "Traceback" not in refused.stderr
    allowed = run(folder, "evaluate", "--model", "v1", "--json", "--in-sample", "--data", *days(folder, 1))
    assert last_object(allowed)["trades"] == 1500


@pytest.mark.usefixtures("trained")
def test_training_on_the_same_days_gives_the_same_model(folder: Path) -> None:
    again = run(folder, "train", "--version", "v1-again", "--rounds", "3", "--data", *days(folder, 0, 1, 2))
    assert again.returncode == 0, again.stderr
    first, second = ((folder / "models" / version / "model.ubj").read_bytes() for version in ("v1", "v1-again"))
    assert first == second


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--version", "v1", "--data", "FILE"], "exists already; choose another name"),
        (["train", "--version", "../v2", "--data", "FILE"], "is no name of a model version"),
        (["train", "--version", "v2", "--data", "FILE"], "at least two days"),
        (["train", "--version", "v2"], "either --data FILE, --from-kafka or --simulate-days N"),
        (["train", "--version", "v2", "--data", "nowhere.csv"], "nowhere.csv"),
        (["train", "--data", "FILE"], "name the new version with --version"),
        (["train", "--version", "v2", "--since-last", "--data", "FILE"], "let --since-last name it"),
        (["evaluate", "--model", "v9", "--data", "FILE"], "choose one of: v1"),
        (
            ["evaluate", "--model", "v1", "--data", "FILE", "--from", "2025-01-01"],
            "holds no trade of the days asked for",
        ),
        (["model", "show", "v9"], "no model version 'v9'"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(folder: Path, arguments: list[str], sentence: str) -> None:
    result = run(folder, *(str(days(folder, 3)[0]) if word == "FILE" else word for word in arguments))
    assert result.returncode == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_the_simulator_trains_too(folder: Path) -> None:
    trained = last_object(
        run(folder, "train", "--version", "simulated", "--simulate-days", "2", "--seed", "5", "--rounds", "3", "--json")
    )
    assert trained["tuning_days"]["trades"] > 10_000
