"""The README's chart out of the results: ``python -m benchmarks.chart RESULT.json CHART.svg``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from benchmarks.field import FIELD
from benchmarks.results import OURS

_LABELS = {
    "tickcast": "tickcast",
    "quixstreams": "Quix Streams",
    "bytewax": "Bytewax",
    "faust": "Faust",
    "spark": "Spark, grouped pandas function",
    "spark_windows": "Spark, pandas UDF over closed windows",
    "pyflink_obvious": "PyFlink, the obvious way",
    "hand_loop": "loop by hand, row by row",
    "hand_loop_batched": "loop by hand, 1,000 at once",
    "jvm_floor": "JVM floor: only read and write",
}
_OURS, _PEER, _FLOOR = "#1b7f5c", "#9aa5b1", "#d5dae0"


def bars(result: dict[str, Any]) -> list[tuple[str, float, str, str]]:
    """Label, ticks a second, note and colour of each bar, the slowest first."""
    rates: dict[str, float] = result["ticks_per_s"]
    rows = []
    for name in sorted(rates, key=rates.__getitem__):
        ratio = result["ratios"].get(name)
        note = f"{rates[name]:,.0f}/s" + (f"   tickcast: {ratio:.2f} times" if ratio else "")
        colour = _OURS if name == OURS else _FLOOR if name == "jvm_floor" else _PEER
        rows.append((f"{_LABELS.get(name, name)}\n{FIELD[name].guarantee}", rates[name], note, colour))
    return rows


def draw(result: dict[str, Any], chart: Path) -> None:
    """Draws the throughput of all contestants."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra; `bars` works without it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    rows = bars(result)
    figure, axes = plt.subplots(figsize=(9, 0.62 * len(rows) + 1.1))
    labels, rates, notes, colours = zip(*rows, strict=True)
    drawn = axes.barh(labels, rates, color=colours, height=0.62)
    axes.bar_label(drawn, notes, padding=6, fontsize=9)
    axes.set_xlim(0, max(rates) * 1.3)
    axes.set_xlabel("ticks a second, committed")
    axes.tick_params(axis="y", labelsize=9, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    machine, plan = result["machine"], result["plan"]
    axes.set_title(
        f"{machine['cores']} cores, {plan['symbols']} symbols, {plan['ticks']:,} ticks, median of"
        f" {plan['rounds']} round{'s' if plan['rounds'] > 1 else ''}",
        fontsize=10,
        loc="left",
    )
    chart.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(chart, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    draw(orjson.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))
