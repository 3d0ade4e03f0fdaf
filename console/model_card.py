"""The measures of a model version as the tables of its card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from udfs.manifest import Manifest

    Row = tuple[str, ...]

_MEASURES = (
    ("non_flat", "auc", "moved prices: AUC"),
    ("non_flat", "accuracy", "moved prices: accuracy"),
    ("non_flat", "log_loss", "moved prices: log loss"),
    ("non_flat", "top_decile_precision", "moved prices: right among the tenth most surely said, up or down"),
    ("three_class", "log_loss", "all trades, three classes: log loss"),
    ("three_class", "macro_f1", "all trades, three classes: macro-F1"),
    ("three_class", "accuracy", "all trades, three classes: accuracy"),
)


def span(manifest: Manifest) -> str:
    """Which days the measures are of."""
    measures = _measures(manifest)
    days = [day["day"] for day in measures["by_day"]]
    kind = "a walk forward over" if "walk_forward" in manifest.metrics else "the tuning days,"
    return f"`{manifest.version}` on {kind} {len(days)} days, {days[0]} to {days[-1]}: {measures['trades']:,} trades."


def measure_rows(manifest: Manifest) -> Iterator[Row]:
    """Of every measure its name, value, interval over days, and value without odd lots."""
    measures = _measures(manifest)
    intervals, lots = measures.get("intervals") or {}, measures.get("without_odd_lots") or {}
    for group, name, title in _MEASURES:
        interval = intervals.get(group, {}).get(name)
        yield title, _number(measures[group][name]), _interval(interval), _number(lots.get(group, {}).get(name))
    error = "calibration error of `p_up`"
    yield error, _number(measures["ece_p_up"]), _interval(intervals.get("ece_p_up")), _number(lots.get("ece_p_up"))


def baseline_rows(manifest: Manifest) -> Iterator[Row]:
    """Of the model and every naive rule its name and, on moved prices, AUC, accuracy and log loss."""
    measures = _measures(manifest)
    for name, one in ({"the model": measures["non_flat"]} | measures["baselines"]).items():
        yield name.replace("_", " "), *(_number(one.get(key)) for key in ("auc", "accuracy", "log_loss"))


def hour_rows(manifest: Manifest) -> Iterator[Row]:
    """Of every hour of the session, and of every group of symbols, its name, trades, AUC and accuracy."""
    measures = _measures(manifest)
    for part in measures.get("by_hour", []):
        yield f"{part['hour']}:00 to {part['hour'] + 1}:00", *_direction(part)
    for part in measures.get("by_group", []):
        yield f"the {part['symbols']} {part['group']} symbols", *_direction(part)


def calibration_rows(manifest: Manifest) -> Iterator[Row]:
    """Of every bin of `p_up` what was said, what happened, and the number of trades."""
    for row in _measures(manifest).get("calibration", {}).get("p_up", []):
        yield f"{row['said']:.3f}", f"{row['happened']:.3f}", f"{row['trades']:,}"


def _measures(manifest: Manifest) -> dict[str, Any]:
    measures: dict[str, Any] = manifest.metrics.get("walk_forward") or manifest.metrics["tuning_days"]
    return measures


def _direction(part: dict[str, Any]) -> Row:
    return f"{part['trades']:,}", _number(part["non_flat"]["auc"]), _number(part["non_flat"]["accuracy"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(interval: list[float] | None) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
