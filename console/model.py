"""The verbs that look at model versions, and those that tell the running job which one scores and which one shadows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from console.errors import CommandError
from console.measures import print_json, print_measures

if TYPE_CHECKING:
    from jobs.settings import Settings
    from training.promotion import Verdict
    from udfs.manifest import Manifest

Version = Annotated[str, typer.Argument(help="Name of the version.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

model = typer.Typer(
    help="List and show model versions, and tell the running job which one scores.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@model.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List all model versions."""
    from jobs.settings import Settings  # noqa: PLC0415 - imports of a second or two, not for --help
    from udfs import artifact as artifacts  # noqa: PLC0415

    directory = Settings().model.directory
    try:
        manifests = [artifacts.load_manifest(directory, version) for version in artifacts.versions(directory)]
        active = artifacts.active_version(directory) if (directory / artifacts.ACTIVE_FILE).exists() else None
    except artifacts.ArtifactError as error:
        raise CommandError(str(error)) from None
    if as_json:
        print_json({"active": active, "versions": [_summary(manifest) for manifest in manifests]})
        return
    for manifest in manifests:
        summary = _summary(manifest)
        mark = "*" if manifest.version == active else " "
        typer.echo(f"{mark} {manifest.version}  {summary['first_day']} to {summary['last_day']}  {summary['created']}")


@model.command("show")
def show_version(version: Version, as_json: AsJson = False) -> None:
    """Show the manifest of a model version."""
    from jobs.settings import Settings  # noqa: PLC0415 - as above
    from udfs import artifact as artifacts  # noqa: PLC0415

    try:
        manifest = artifacts.load_manifest(Settings().model.directory, version)
    except artifacts.ArtifactError as error:
        raise CommandError(str(error)) from None
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    shown = manifest.model_dump(mode="json", exclude={"drift_baseline", "metrics", "feature_names"})
    shown |= {"features": len(manifest.feature_names)}
    typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    print_measures("on its tuning days", manifest.metrics["tuning_days"])


@model.command("promote")
def promote(
    version: Version,
    *,
    if_better: Annotated[
        bool, typer.Option("--if-better", help="Only if its shadow outcomes beat those of the version that scores.")
    ] = False,
    over: Annotated[
        int | None, typer.Option(min=1, help="Predictions that --if-better rests on; by default 50,000, about a day.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a version the one that scores in the running job."""
    from console import model_control  # noqa: PLC0415 - as above
    from jobs.settings import Settings  # noqa: PLC0415
    from training.promotion import LEAST_PREDICTIONS, judge  # noqa: PLC0415
    from udfs import artifact as artifacts  # noqa: PLC0415

    if over is not None and not if_better:
        raise CommandError("--over says how many predictions --if-better rests on; add --if-better")
    settings = Settings()
    _require_fit(settings, version)
    printed: dict[str, Any] = {"version": version, "action": "promote"}
    if if_better:
        wanted = over or LEAST_PREDICTIONS
        verdict = judge(model_control.outcomes(settings.kafka), version, wanted)
        if not verdict.better:
            raise CommandError(_why_not(verdict, version, wanted))
        printed |= verdict._asdict()
    model_control.publish(settings, "promote", version)
    # A job that starts without a state must not fall back to the version before.
    artifacts.activate(settings.model.directory, version)
    if as_json:
        print_json(printed)
    else:
        typer.echo(f"{version} is to score from now on")


@model.command("shadow")
def shadow(
    version: Version,
    *,
    off: Annotated[bool, typer.Option("--off", help="No longer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a version score beside the active one in the running job, for comparison."""
    from console import model_control  # noqa: PLC0415 - as above
    from jobs.settings import Settings  # noqa: PLC0415

    settings = Settings()
    if not off:
        _require_fit(settings, version)
    action: model_control.Action = "unshadow" if off else "shadow"
    model_control.publish(settings, action, version)
    if as_json:
        print_json({"version": version, "action": action})
    else:
        typer.echo(f"{version} {'no longer shadows' if off else 'is to shadow'} the version that scores")


def _require_fit(settings: Settings, version: str) -> None:
    """Refuse a version that the job would refuse."""
    from state.features import SCHEMA_HASH  # noqa: PLC0415 - as above
    from udfs import artifact as artifacts  # noqa: PLC0415

    try:
        artifacts.load_artifact(settings.model.directory, version, SCHEMA_HASH)
    except artifacts.ArtifactError as error:
        raise CommandError(str(error)) from None


def _why_not(verdict: Verdict, version: str, wanted: int) -> str:
    if verdict.active == version:
        return f"{version} is the version that scores already"
    if verdict.predictions < wanted:
        return (
            f"{version} is not promoted: {verdict.predictions:,} predictions were scored by both it and "
            f"{verdict.active or 'an active version'}, {wanted:,} are needed; let it shadow on with "
            f"`tickcast model shadow {version}`, or ask for fewer with --over"
        )
    return (
        f"{version} is not promoted: over {verdict.predictions:,} predictions its log loss is {-verdict.gain:+.5f} "
        f"against that of {verdict.active}, and the gain is at least {verdict.at_least:+.5f}, which is not above 0"
    )


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
