"""The verbs that make and measure model versions: train and evaluate."""

from __future__ import annotations

import subprocess
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from console.errors import CommandError
from console.measures import print_json, print_measures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from console.examples import Selection
    from jobs.settings import Settings
    from training.examples import DayExamples
    from training.fit import FitSettings
    from udfs.artifact import Artifact
    from udfs.manifest import Manifest, TrainingWindow

Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Trades: floorsheet CSV(.gz), plain CSV or Parquet, in order of their days."),
]
More = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files for --data.")]
FromKafka = Annotated[
    bool, typer.Option("--from-kafka", help="Take the trades of `nepse-ticks`, up to the last day that is over.")
]
First = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")]
Last = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")]
Excluded = Annotated[
    list[datetime] | None, typer.Option("--exclude-day", formats=["%Y-%m-%d"], help="A day to leave out; repeatable.")
]
SimulateDays = Annotated[int, typer.Option(min=0, help="Take so many days of the simulator instead of files.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def train(
    *,
    version: Annotated[str, typer.Option(help="Name of the new version; with --since-last its last day.")] = "",
    data: Data = None,
    more: More = None,
    from_kafka: FromKafka = False,
    first: First = None,
    last: Last = None,
    exclude_day: Excluded = None,
    simulate_days: SimulateDays = 0,
    since_last: Annotated[
        bool, typer.Option("--since-last", help="Train a candidate as the active version, with the days since it.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulator and of the training.")] = 20240410,
    rounds: Annotated[int, typer.Option(min=1, help="Most rounds of boosting, each one tree per class.")] = 120,
    folds: Annotated[int, typer.Option(min=0, help="First measure a walk forward of so many steps.")] = 0,
    tune: Annotated[int, typer.Option(min=0, help="First try so many settings of the trees; needs optuna.")] = 0,
    activate: Annotated[bool, typer.Option("--activate", help="Make it the version that scores.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model version: trees on the earlier days, early stopping and calibration on the latest tenth."""
    from console import examples  # noqa: PLC0415 - imports of a second or two, not for --help
    from jobs.settings import Settings  # noqa: PLC0415
    from training.days import DataError  # noqa: PLC0415
    from training.fit import FitSettings  # noqa: PLC0415
    from udfs import artifact as artifacts  # noqa: PLC0415

    if bool(version) == since_last:
        raise CommandError("name the new version with --version, or let --since-last name it by its last day")
    if tune:
        _require_optuna()
    settings = Settings()
    revision = _git_revision()  # now: by the end of the training the checkout may have moved on
    fit_settings = FitSettings(rounds=rounds, seed=seed)
    selection = examples.select(
        [*(data or ()), *(more or ())],
        (first, last),
        exclude_day or (),
        from_kafka=from_kafka,
        simulated_days=simulate_days,
        seed=seed,
        settings=settings,
    )
    try:
        predecessor = _active(settings) if since_last else None
        if predecessor is not None:
            selection = _going_on(selection, predecessor.training_window)
            fit_settings = _grown_like(fit_settings, predecessor)
        else:
            artifacts.require_new(settings.model.directory, version)
        with examples.selected(selection, settings) as days:
            if predecessor is not None:
                version = _name_of_next(predecessor, days, settings)
            trained = _train_on(days, version, fit_settings, selection, revision, folds=folds, tune=tune)
        folder = artifacts.write_artifact(settings.model.directory, trained.booster, trained.scaler, trained.manifest)
        if activate:
            artifacts.activate(settings.model.directory, version)
    except (artifacts.ArtifactError, DataError) as error:
        raise CommandError(str(error)) from None
    if as_json:
        print_json({"version": version, "folder": str(folder), "active": activate} | trained.manifest.metrics)
        return
    print_measures(f"{version} on its tuning days", trained.manifest.metrics["tuning_days"])
    typer.echo(f"written to {folder}" + (", now active" if activate else ""))
    if predecessor is not None:
        typer.echo(f"compare it in the running job: tickcast model shadow {version}")


def evaluate(
    *,
    version: Annotated[str, typer.Option("--model", help="Version to measure; without it the one that scores.")] = "",
    data: Data = None,
    more: More = None,
    from_kafka: FromKafka = False,
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
        from_kafka=from_kafka,
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
        measures = evaluate_version(artifact, days, ZoneInfo(selection.rules.timezone))
    if as_json:
        print_json({"version": version} | measures)
    else:
        print_measures(f"{version} on {measures['days']} days", measures)


def _train_on(
    days: list[DayExamples],
    version: str,
    settings: FitSettings,
    selection: Selection,
    revision: str | None,
    *,
    folds: int,
    tune: int,
) -> Artifact:
    """Tunes and walks forward where asked for, then trains; each with its progress."""
    from console.examples import FEATURES, progress  # noqa: PLC0415 - as above
    from training.train import measure_walk_forward  # noqa: PLC0415
    from training.train import train as train_version  # noqa: PLC0415
    from training.tune import TUNING_STEPS  # noqa: PLC0415
    from training.tune import tune as tune_settings  # noqa: PLC0415

    zone = ZoneInfo(selection.rules.timezone)
    if tune:
        with progress("trying settings", tune * TUNING_STEPS * settings.rounds) as advance:
            settings = tune_settings(days, FEATURES, settings, tune, advance)
    metrics = {}
    if folds:
        with progress("walking forward", folds * settings.rounds) as advance:
            metrics["walk_forward"] = measure_walk_forward(days, FEATURES, settings, folds, zone, advance)
    with progress("growing trees", settings.rounds) as advance:
        trained = train_version(days, FEATURES, version, settings, zone, git_revision=revision, on_round=advance)
    manifest = trained.manifest.model_copy(update={"metrics": trained.manifest.metrics | metrics})
    return replace(trained, manifest=manifest)


def _require_optuna() -> None:
    """Say now that it is missing, not after the days were replayed."""
    from training.tune import TuneError, load_optuna  # noqa: PLC0415 - as above

    try:
        load_optuna()
    except TuneError as error:
        raise CommandError(str(error)) from None


def _active(settings: Settings) -> Manifest:
    from udfs.artifact import active_version, load_manifest  # noqa: PLC0415 - as above

    directory = settings.model.directory
    return load_manifest(directory, settings.model.version or active_version(directory))


def _going_on(selection: Selection, window: TrainingWindow) -> Selection:
    """The days that a version has seen and all later ones."""
    seen = {*window.fit_days, *window.tuning_days}
    left_out = {day for day in _days_between(window.first_day, window.last_day) if day.isoformat() not in seen}
    first = date.fromisoformat(window.first_day)
    return replace(selection, first=max(selection.first or first, first), excluded=selection.excluded | left_out)


def _days_between(first: str, last: str) -> Iterator[date]:
    day = date.fromisoformat(first)
    while day <= date.fromisoformat(last):
        yield day
        day += timedelta(days=1)


def _grown_like(settings: FitSettings, predecessor: Manifest) -> FitSettings:
    """The settings with what the predecessor's trees were grown with, but for the most rounds."""
    known = {field.name for field in fields(settings)} - {"rounds"}
    parameters = {name: value for name, value in predecessor.parameters.items() if name in known}
    return replace(settings, **parameters)


def _name_of_next(predecessor: Manifest, days: list[DayExamples], settings: Settings) -> str:
    """Name of the version that these days make: the exchange's prefix and the last day.

    Raises:
        CommandError: If no day is later than those that the predecessor has seen.
    """
    from udfs.artifact import require_new  # noqa: PLC0415 - as above

    window = predecessor.training_window
    last = days[-1].day.isoformat()
    if last <= window.last_day:
        raise CommandError(
            f"there is no trade after {window.last_day}, the last day that {predecessor.version} has seen; "
            "nothing is to be added"
        )
    missing = {*window.fit_days, *window.tuning_days} - {day.day.isoformat() for day in days}
    if missing:
        typer.echo(
            f"{len(missing)} days that {predecessor.version} was trained on are not in the data, the first of them "
            f"{min(missing)}; the candidate does not learn from them",
            err=True,
        )
    version = f"{settings.kafka.topic_prefix}-{last}"
    require_new(settings.model.directory, version)
    return version


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
