"""Measures of a model version, as one JSON object or as a table for people."""

from __future__ import annotations

from typing import Any

import orjson
import typer


def print_json(document: dict[str, Any]) -> None:
    """One object on standard output; a measure that is not defined is null."""
    typer.echo(orjson.dumps(document))


def print_measures(title: str, measures: dict[str, Any]) -> None:
    """The measures of :func:`training.evaluate.describe` with their intervals, and the baselines below."""
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second, not for --json
    from rich.table import Table  # noqa: PLC0415

    intervals = measures.get("intervals") or {}
    level = f"{intervals.get('level', 0):.0%} over days" if intervals else ""
    table = Table("measure", "value", level, title=f"{title}: {measures['trades']:,} trades")
    for group in ("non_flat", "three_class"):
        for name, value in measures[group].items():
            table.add_row(f"{group} {name}", _number(value), _interval(intervals.get(group, {}).get(name)))
    table.add_row("ece_p_up", _number(measures["ece_p_up"]), _interval(intervals.get("ece_p_up")))
    for name, value in measures.get("without_odd_lots", {}).get("non_flat", {}).items():
        table.add_row(f"without odd lots, non_flat {name}", _number(value))
    for name, baseline in measures["baselines"].items():
        table.add_row(f"baseline {name}", "  ".join(f"{key} {value:.4f}" for key, value in baseline.items()))
    if "placebo" in measures:
        table.add_row("placebo auc", _number(measures["placebo"]["auc"]))
    Console().print(table)


def _number(value: float) -> str:
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def _interval(interval: list[float] | None) -> str:
    return f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
