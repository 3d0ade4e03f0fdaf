"""The tables of the documentation that are made from the code; ``python -m console.reference`` brings them up to date.

A document holds a table between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Nothing in between is written by
hand, so a setting, a feature or a verb is described once, in the code.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import typer
from pydantic import SecretStr

from console import model_card
from console.errors import CommandError
from console.main import VERBS
from jobs.settings import PROJECT_ROOT, EventTimeSettings, KafkaSettings, Settings
from jobs.topics import topic_specs
from state.features import MARKET_FEATURES, OWN_FEATURES, SCHEMA_HASH
from udfs.artifact import active_version, load_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic.fields import FieldInfo

    from state.features import Feature
    from udfs.manifest import Manifest

DOCUMENTS = ("README.md", "docs/features.md", "docs/messages.md", "docs/model-card.md")

_BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def refreshed(text: str) -> str:
    """A document with all of its generated tables as the code has them now.

    Raises:
        CommandError: If the document asks for a table that nobody makes.
    """

    def table(block: re.Match[str]) -> str:
        name = block["name"]
        if name not in TABLES:
            raise CommandError(f"there is no generated table {name!r}; take one of {', '.join(TABLES)}")
        return f"{block[1]}\n{TABLES[name]()}\n\n"

    return _BLOCK.sub(table, text)


def rewrite(root: Path) -> list[str]:
    """Brings the documents below a folder up to date.

    Returns:
        Names of those that have changed.

    Raises:
        CommandError: If a document asks for a table that nobody makes.
    """
    changed = []
    for name in DOCUMENTS:
        before = (root / name).read_text(encoding="utf-8")
        after = refreshed(before)
        if after != before:
            (root / name).write_text(after, encoding="utf-8")
            changed.append(name)
    return changed


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def setting_variables() -> Iterator[tuple[str, FieldInfo]]:
    """Environment variable and field of every setting, in the order of the settings."""
    for section_name, section in Settings.model_fields.items():
        for name, field in type(section.default).model_fields.items():
            yield f"TICKCAST_{section_name}__{name}".upper(), field


def _settings() -> str:
    rows = ((f"`{variable}`", _default(field), _meaning(field)) for variable, field in setting_variables())
    return _table(("variable", "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    """A default as one would type it."""
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()  # the default of a secret is none
    if isinstance(value, Path) and value.is_absolute():
        value = value.relative_to(PROJECT_ROOT)
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if str(value) else "empty"


def _meaning(field: FieldInfo) -> str:
    """What the field's description says, and what else it may be where there is a choice."""
    meaning = str(field.description)
    if get_origin(field.annotation) is Literal:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in get_args(field.annotation) if choice)}."
    return meaning


def _verbs() -> str:
    return _table(("`tickcast …`", "does"), ((f"`{name}`", summary) for name, summary in _summaries()))


def _summaries() -> Iterator[tuple[str, str]]:
    for name, verb in VERBS.items():
        target = getattr(importlib.import_module(verb.module), verb.attribute)
        if not isinstance(target, typer.Typer):
            yield name, verb.summary
            continue
        group: Any = typer.main.get_command(target)
        for part, command in group.commands.items():
            yield f"{name} {part}", command.get_short_help_str(limit=200)


def _own_features() -> str:
    return _features(OWN_FEATURES, first=1)


def _market_features() -> str:
    return _features(MARKET_FEATURES, first=1 + len(OWN_FEATURES))


def _features(features: tuple[Feature, ...], first: int) -> str:
    rows = (
        (str(number), f"`{feature.name}`", feature.unit, feature.meaning)
        for number, feature in enumerate(features, start=first)
    )
    return _table(("", "feature", "unit", "meaning"), rows)


def _schema() -> str:
    return f"{len(OWN_FEATURES) + len(MARKET_FEATURES)} features, schema `{SCHEMA_HASH}`."


def _topics() -> str:
    rows = (
        (f"`{spec.name}`", str(spec.partitions), ", ".join(f"`{key}={value}`" for key, value in spec.config.items()))
        for spec in topic_specs(KafkaSettings(), EventTimeSettings())
    )
    return _table(("topic", "partitions", "created with"), rows)


def _active() -> Manifest:
    directory = PROJECT_ROOT / "model_artifacts"
    return load_manifest(directory, active_version(directory))


def _model_measures() -> str:
    manifest = _active()
    header = ("", "", "95 % over days", "without odd lots")
    naive = _table(("moved prices", "AUC", "accuracy", "log loss"), model_card.baseline_rows(manifest))
    return f"{model_card.span(manifest)}\n\n{_table(header, model_card.measure_rows(manifest))}\n\n{naive}"


def _model_parts() -> str:
    return _table(("moved prices", "trades", "AUC", "accuracy"), model_card.hour_rows(_active()))


def _model_calibration() -> str:
    return _table(("said", "happened", "trades"), model_card.calibration_rows(_active()))


def _model() -> str:
    """The active version as its manifest describes it, with its measures beside those of the baselines."""
    manifest = _active()
    window, measures = manifest.training_window, manifest.metrics["tuning_days"]
    trees, shares = manifest.parameters, manifest.drift_baseline["labels"]
    facts = _table(
        ("", "active version"),
        (
            ("version", f"`{manifest.version}`"),
            ("features", f"{len(manifest.feature_names)}, schema `{manifest.feature_schema}`"),
            ("trees", f"{trees['rounds']} rounds, each one tree per class, no deeper than {trees['max_depth']}"),
            ("grown on", f"{len(window.fit_days)} days, {window.fit_days[0]} to {window.fit_days[-1]}"),
            ("tuned and calibrated on",
             f"{len(window.tuning_days)} later days, {window.tuning_days[0]} to {window.tuning_days[-1]}"),
            ("trades of both", f"{window.trades:,}"),
            ("outcomes on the former", ", ".join(f"{name} {share:.1%}" for name, share in shares.items())),
        ),
    )  # fmt: skip
    directions = {"the model": measures["non_flat"]} | measures["baselines"]
    rows = (
        (name.replace("_", " "), *(f"{one[key]:.3f}" if key in one else "" for key in ("auc", "accuracy")))
        for name, one in directions.items()
    )
    return f"{facts}\n\n{_table(('on the calibration days, moved prices', 'AUC', 'accuracy'), rows)}"


TABLES: dict[str, Callable[[], str]] = {
    "settings": _settings,
    "verbs": _verbs,
    "feature-schema": _schema,
    "own-features": _own_features,
    "market-features": _market_features,
    "topics": _topics,
    "model": _model,
    "model-measures": _model_measures,
    "model-parts": _model_parts,
    "model-calibration": _model_calibration,
}


if __name__ == "__main__":
    typer.echo(f"rewritten: {', '.join(rewrite(PROJECT_ROOT)) or 'nothing, all is up to date'}")
