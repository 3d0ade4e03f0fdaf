"""The verbs around models: train, evaluate, model."""

from __future__ import annotations

import subprocess
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from console.errors import CommandError

if TYPE_CHECKING:
    from udfs.manifest import Manifest

Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Trades: floorsheet CSV(.gz), plain CSV or Parquet, in order of their days."),
]
More = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files for --data.")]
First = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")]
Last = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")]
Excluded = Annotated[
    list[datetime] | None, typer.Option("--exclude-day", formats=["%Y-%m-%d"], help="A day to leave out; repeatable.")
]
SimulateDays = Annotated[int, typer.Option(min=0, help="Take so many days of the simulator instead of files.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def train(
    version: Annotated[str, typer.Option(help="Name of the new version.")],
    *,
    data: Data = None,
    more: More = None,
    first: First = None,
    last: Last = None,
    exclude_day: Excluded = None,
    simulate_days: SimulateDays = 0,
    seed: Annotated[int, typer.Option(help="Seed of the simulator and of the training.")] = 20240410,
    rounds: Annotated[int, typer.Option(min=1, help="Most rounds of boosting, each one tree per class.")] = 60,
    folds: Annotated[int, typer.Option(min=0, help="First measure a walk forward of so many steps.")] = 0,
    activate: Annotated[bool, typer.Option("--activate", help="Make it the version that scores.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model version: trees on the earlier days, early stopping and calibration on the latest tenth."""
    from console import examples  # noqa: PLC0415 - imports of a second or two, not for --help
    from jobs.settings import Settings  # noqa: PLC0415
    from training.days import DataError  # noqa: PLC0415
    from training.fit import FitSettings  # noqa: PLC0415
    from training.train import measure_walk_forward  # noqa: PLC0415
    from training.train import train as train_version  # noqa: PLC0415
    from udfs import artifact as artifacts  # noqa: PLC0415

    settings = Settings()
    revision = _git_revision()  # now: by the end of the training the checkout may have moved on
    fit_settings = FitSettings(rounds=rounds, seed=seed)
    selection = examples.select(
        [*(data or ()), *(more or ())],
        (first, last),
        exclude_day or (),
        simulated_days=simulate_days,
        seed=seed,
        settings=settings,
    )
    try:
        artifacts.require_new(settings.model.directory, version)
        with examples.selected(selection, settings) as days:
            steps = list(measure_walk_forward(days, examples.FEATURES, fit_settings, folds)) if folds else []
            with examples.progress("growing trees", rounds) as advance:
                trained = train_version(
                    days, examples.FEATURES, version, fit_settings, git_revision=revision, on_round=advance
                )
        manifest = trained.manifest
        if steps:
            manifest = manifest.model_copy(update={"metrics": manifest.metrics | {"walk_forward": steps}})
        folder = artifacts.write_artifact(settings.model.directory, trained.booster, trained.scaler, manifest)
        if activate:
            artifacts.activate(settings.model.directory, version)
    except (artifacts.ArtifactError, DataError) as error:
        raise CommandError(str(error)) from None
    if as_json:
        _print_json({"version": version, "folder": str(folder), "active": activate} | manifest.metrics)
    else:
        _print_measures(f"{version} on its tuning days", manifest.metrics["tuning_days"])
        typer.echo(f"written to {folder}" + (", now active" if activate else ""))


def evaluate(
    *,
    version: Annotated[str, typer.Option("--model", help="Version to measure; without it the one that scores.")] = "",
    data: Data = None,
    more: More = None,
    first: First = None,
    last: Last = None,
    exclude_day: Excluded = None,
    simulate_days: SimulateDays = 0,
    seed: Annotated[int, typer.Option(help="Seed of the simulator.")] = 1,
    in_sample: Annotated[bool, typer.Option("--in-sample", help="Allow days the version was trained on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model version on days it has not seen, next to baselines."""
    from console import examples  # noqa: PLC0415 - imports of a second or two, not for --help
    from jobs.settings import Settings  # noqa: PLC0415
    from training.evaluate import evaluate as evaluate_version  # noqa: PLC0415
    from udfs import artifact as artifacts  # noqa: PLC0415

    settings = Settings()
    selection = examples.select(
        [*(data or ()), *(more or ())],
        (first, last),
        exclude_day or (),
        simulated_days=simulate_days,
        seed=seed,
        settings=settings,
    )
    directory = settings.model.directory
    try:
        version = version or settings.model.version or artifacts.active_version(directory)
        artifact = artifacts.load_artifact(directory, version, examples.FEATURES.schema)
    except artifacts.ArtifactError as error:
        raise CommandError(str(error)) from None
    window = artifact.manifest.training_window

    def refuse_seen(day: date) -> None:
        if window.contains(day) and not in_sample:
            raise CommandError(
                f"{day} lies within the training window of {version} ({window.first_day} to {window.last_day}); "
                "choose later days with --from, or add --in-sample to measure on it all the same"
            )

    with examples.selected(selection, settings, refuse_seen) as days:
        measures = evaluate_version(artifact, days)
    if as_json:
        _print_json({"version": version} | measures)
    else:
        _print_measures(f"{version} on {measures['days']} days", measures)


model = typer.Typer(help="List and show model versions.", no_args_is_help=True, rich_markup_mode=None)


@model.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List all model versions."""
    from jobs.settings import Settings  # noqa: PLC0415 - as above
    from udfs import artifact as artifacts  # noqa: PLC0415

    directory = Settings().model.directory
    try:
        manifests = [artifacts.load_manifest(directory, version) for version in artifacts.versions(directory)]
        active = artifacts.active_version(directory) if (directory / artifacts.ACTIVE_FILE).exists() else None
    except artifacts.ArtifactError as error:
        raise CommandError(str(error)) from None
    if as_json:
        _print_json({"active": active, "versions": [_summary(manifest) for manifest in manifests]})
        return
    for manifest in manifests:
        summary = _summary(manifest)
        mark = "*" if manifest.version == active else " "
        typer.echo(f"{mark} {manifest.version}  {summary['first_day']} to {summary['last_day']}  {summary['created']}")


@model.command("show")
def show_version(version: Annotated[str, typer.Argument(help="Name of the version.")], as_json: AsJson = False) -> None:
    """Show the manifest of a model version."""
    from jobs.settings import Settings  # noqa: PLC0415 - as above
    from udfs import artifact as artifacts  # noqa: PLC0415

    try:
        manifest = artifacts.load_manifest(Settings().model.directory, version)
    except artifacts.ArtifactError as error:
        raise CommandError(str(error)) from None
    if as_json:
        _print_json(manifest.model_dump(mode="json"))
        return
    shown = manifest.model_dump(mode="json", exclude={"drift_baseline", "metrics", "feature_names"})
    shown |= {"features": len(manifest.feature_names)}
    typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    _print_measures("on its tuning days", manifest.metrics["tuning_days"])


def _git_revision() -> str | None:
    """Revision of the checkout the code runs from, "-dirty" added if it was changed; None where there is none."""
    try:
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _summary(manifest: Manifest) -> dict[str, Any]:
    window = manifest.training_window
    return {
        "version": manifest.version,
        "created": manifest.created.isoformat(),
        "first_day": window.first_day,
        "last_day": window.last_day,
        "trades": window.trades,
        "feature_schema": manifest.feature_schema,
    }


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(orjson.dumps(document))


def _print_measures(title: str, measures: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415

    table = Table("measure", "value", title=f"{title}: {measures['trades']:,} trades")
    for group in ("non_flat", "three_class"):
        for name, value in measures[group].items():
            table.add_row(f"{group} {name}", f"{value:,.4f}" if isinstance(value, float) else f"{value:,}")
    table.add_row("ece_p_up", f"{measures['ece_p_up']:.4f}")
    for name, baseline in measures["baselines"].items():
        table.add_row(f"baseline {name}", "  ".join(f"{key} {value:.4f}" for key, value in baseline.items()))
    Console().print(table)
