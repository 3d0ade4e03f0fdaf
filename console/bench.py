"""``tickcast bench``: how fast the job is, beside its peers, on this machine."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_stack import FOLDER, BenchStack
from benchmarks.field import FIELD
from benchmarks.latency import measure_latency
from benchmarks.machine import busy_cores, machine_facts
from benchmarks.opening import measure_opening
from benchmarks.suite import Plan, Suite
from benchmarks.year import YEAR_DAYS, YEAR_TRADES, run_year
from console.errors import CommandError
from console.stack.lock import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PARTS = ("throughput", "scaling", "latency", "opening", "year")
_USUAL_PARTS = "throughput,scaling,latency,opening"
_BUSY = 0.3
"""Cores at work beside the benchmark above which its figures are called doubtful."""


def bench(
    contestants: Annotated[
        str, typer.Option(metavar="NAMES", help=f"Who takes part, comma-separated: {', '.join(FIELD)}.")
    ] = ",".join(FIELD),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of throughput and scaling; medians count.")] = 5,
    ticks: Annotated[int, typer.Option(min=2_000, help="Ticks of each run.")] = 1_000_000,
    symbols: Annotated[int, typer.Option(min=1, help="Symbols of each run.")] = 300,
    workers: Annotated[int, typer.Option(min=1, help="Slots or processes of each contestant.")] = 2,
    latency_workers: Annotated[int, typer.Option(min=1, help="Slots where latency and the opening are measured.")] = 1,
    limit: Annotated[
        float, typer.Option(min=1, help="Longest run from a contestant's first answer on, s; slow ones do less.")
    ] = 90.0,
    parts: Annotated[str, typer.Option(metavar="PARTS", help=f"Of {', '.join(PARTS)}, comma-separated.")] = (
        _USUAL_PARTS
    ),
    year: Annotated[
        bool, typer.Option("--year", help="Only replay a year of NEPSE: the same as --parts year.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, help="Trading days of the year.")] = YEAR_DAYS,
    trades: Annotated[int, typer.Option(min=1_000, help="Trades of each of its days.")] = YEAR_TRADES // YEAR_DAYS,
    seconds: Annotated[float, typer.Option(min=1, help="How long latency is measured, s.")] = 120.0,
    warm_up: Annotated[float, typer.Option(min=0, help="How long the same load runs before, s.")] = 60.0,
    idle: Annotated[
        float, typer.Option(min=0, help="How long nothing is traded before the opening is measured, s.")
    ] = 60.0,
    output: Annotated[Path, typer.Option(help="File that the results are also written to.")] = FOLDER / "result.json",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")] = False,
) -> None:
    """Measure throughput, scaling and latency, the peers doing the same work on the same ticks."""
    names = _known(contestants, FIELD, "--contestants")
    wanted = ["year"] if year else _known(parts, PARTS, "--parts")
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    busy = busy_cores()
    if busy > _BUSY:
        say(f"{busy:.1f} cores of this machine are busy with something else: the figures will say little")
    result: dict[str, Any] = {
        "ticks_per_s": {}, "ratios": {}, "latency_ms": {}, "opening_ms": {}, "scaling": {},
        "machine": machine_facts() | {"busy_cores_before": round(busy, 2)},
        "plan": {
            "contestants": names, "rounds": rounds, "ticks": ticks, "symbols": symbols, "workers": workers,
            "latency_workers": latency_workers, "limit_s": limit, "parts": wanted,
        },
    }  # fmt: skip
    # A second one would take away the first one's servers, and either would make the other's figures worthless.
    with alone(FOLDER / "lock", "another `tickcast bench` is at work; wait until it is done"), BenchStack(say) as stack:
        suite = Suite(stack, Plan(names, rounds, ticks, symbols, workers, limit), say)
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "throughput": lambda: suite.field().as_json(),
            "scaling": lambda: {"scaling": suite.scaling()},
            "latency": lambda: {"latency_ms": measure_latency(stack, seconds, warm_up, symbols, latency_workers, say)},
            "opening": lambda: {"opening_ms": measure_opening(stack, idle, symbols, latency_workers, say)},
            "year": lambda: {"year": run_year(stack, days, trades, workers, say)},
        }
        for part in wanted:
            try:
                result |= steps[part]()
            except CommandError as error:
                # What was measured before is worth keeping.
                result.setdefault("failed", {})[part] = str(error)
                say(f"{part}: {error}")
            _write(output, result)
    if as_json:
        typer.echo(orjson.dumps(result).decode())
    else:
        _show(result, Console())
        say(f"all figures are in {output}")
    if "failed" in result or not all(one["passed"] for one in result.get("checked", {}).values()):
        raise typer.Exit(1)


def _known(text: str, known: Sequence[str] | dict[str, Any], option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise CommandError(f"{option} names {unknown[0]!r}; take of {', '.join(known)}")
    if not names:
        raise CommandError(f"{option} names nobody; take of {', '.join(known)}")
    return names


def _write(output: Path, result: dict[str, Any]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))


def _show(result: dict[str, Any], console: Console) -> None:
    """Prints the results in tables."""
    if result["ticks_per_s"]:
        table = Table("contestant", "ticks/s", "tickcast by it", "guarantee", "answers", title="Throughput")
        for name, rate in result["ticks_per_s"].items():
            checked = result["checked"].get(name)
            verdict = "" if checked is None else "the same" if checked["passed"] else "DIFFERENT"
            ratio = result["ratios"].get(name)
            table.add_row(name, f"{rate:,.0f}", "" if ratio is None else f"{ratio:.2f}", FIELD[name].guarantee, verdict)
        console.print(table)
    for name, reason in result.get("errors", {}).items():
        console.print(f"{name}: {reason}", markup=False)
    for title in ("scaling", "latency_ms", "opening_ms", "year"):
        rows = _flat(result.get(title, {}))
        if rows:
            table = Table("", "", title=title.replace("_", " "), show_header=False)
            for label, value in rows:
                table.add_row(label, value)
            console.print(table)


def _flat(values: dict[str, Any], path: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        label = f"{path}{name}".replace("_", " ")
        if isinstance(value, dict):
            rows += _flat(value, f"{label}, ")
        elif not isinstance(value, list):
            rows.append((label, f"{value:,}" if isinstance(value, int | float) else str(value)))
    return rows
