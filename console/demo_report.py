"""What the demo shows in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from rich.table import Table

from console.kafka_io import read_committed
from console.stack.stack import Stack
from jobs.topics import Topic
from training.metrics import measure
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    from rich.console import Console

    from console.demo_watch import TickName
    from console.verdict import Verdict
    from jobs.settings import Settings


def percentiles(sent_at: dict[TickName, float], arrived_at: dict[TickName, float]) -> dict[str, float | int]:
    """How long the ticks were on their way, ms: median and 99th percentile of those that have arrived.

    Args:
        sent_at: When each tick was due to be sent, s since the epoch.
        arrived_at: When its prediction was seen, s since the epoch.
    """
    ways = np.array([arrived_at[name] - sent for name, sent in sent_at.items() if name in arrived_at]) * 1000
    if not len(ways):
        return {"ticks": 0}
    p50, p99 = np.percentile(ways, [50, 99])
    return {"ticks": len(ways), "p50": round(float(p50), 1), "p99": round(float(p99), 1)}


def live_score(settings: Settings) -> dict[str, Any]:
    """The active model's measures over the committed outcomes; empty where there are none."""
    outcomes = [orjson.loads(record.value) for record in read_committed(settings.kafka, [Topic.OUTCOMES])]
    active = [one for one in outcomes if one["role"] == "active"]
    if not active:
        return {}
    probabilities = np.array([[one["p_up"], one["p_flat"], one["p_down"]] for one in active], np.float32)
    labels = np.array([CLASSES.index(one["realised"]) for one in active], np.int8)
    return measure(probabilities, labels)


def show(result: dict[str, Any], verdict: Verdict, settings: Settings, console: Console) -> None:
    """Prints the day in a table, and where to look further.

    Args:
        result: What `tickcast demo --json` prints.
        verdict: What `verify` found.
        settings: Where the stack is.
        console: Where to print.
    """
    table = Table(show_header=False, title="One trading day")
    table.add_column()
    table.add_column(justify="right")
    rows = [("ticks in", f"{verdict.ticks_in:,}"), ("predictions", f"{verdict.predictions:,}")]
    if verdict.without_market:
        rows.append(("… without a market snapshot", f"{verdict.without_market:,}"))
    if verdict.conflated:
        rows.append(("conflated", f"{verdict.conflated:,}"))
    others = (Topic.BARS, Topic.ALERTS, Topic.OUTCOMES)
    rows += [(topic.value, f"{result['messages'].get(topic.value, 0):,}") for topic in others]
    rows += [
        ("late", f"{verdict.late:,}"),
        ("duplicates", f"{verdict.duplicates:,}"),
        ("dead letters", f"{verdict.dead_letters:,}"),
        ("throughput", f"{result['throughput_ticks_per_s']:,.0f} ticks/s"),
    ]
    rate = result["latency_ms"]["rate_per_s"]
    for name, where in (("redis", "to Redis"), ("committed", "to a committed read")):
        latency = result["latency_ms"][name]
        if latency["ticks"]:
            text = f"p50 {latency['p50']:,.0f} ms, p99 {latency['p99']:,.0f} ms"
            rows.append((f"latency {where} at {rate:g} ticks/s", text))
    if score := result["score"]:
        rows.append(("live accuracy, three classes", f"{score['three_class']['accuracy']:.3f}"))
        rows.append(("live accuracy, moved prices", f"{score['non_flat']['accuracy']:.3f}"))
        rows.append(("live AUC, moved prices", f"{score['non_flat']['auc']:.3f}"))
    rows.append(("lost, duplicated, mismatched", f"{verdict.lost}, {verdict.duplicated}, {verdict.mismatched}"))
    rows.append(("verdict", "[green]clean[/]" if verdict.clean else "[bold red]NOT CLEAN: see `tickcast verify`[/]"))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for component in Stack(settings).components:
        console.print(f"{component.name:<9} {component.address}", highlight=False)
    console.print("Look at `tickcast tail alerts --from-beginning`; `make down` stops it all.")
