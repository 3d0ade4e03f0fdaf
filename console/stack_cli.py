"""``tickcast up``, ``down``, ``status`` and ``doctor``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from console.job import job_health
from console.stack.component import Health
from console.stack.jars import fetch_all
from console.stack.requirements import requirements
from console.stack.stack import Stack
from jobs.settings import Settings

_JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")]


def up(as_json: _JsonOption = False) -> None:
    """Start what does not run of the local stack, and create the topics."""
    settings = Settings()
    Stack(settings).up(say=lambda line: typer.echo(line, err=as_json))
    if as_json:
        _report(settings, as_json=True)
    else:
        typer.echo(f"The stack is up: the web UI of Flink is at {settings.flink.rest_address}, logs are in")
        typer.echo(f"{settings.home / 'logs'}. Next: `tickcast submit`; `tickcast down` stops it all.")


def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also remove all data, checkpoints and logs.")] = False,
) -> None:
    """Stop the local stack; its data stay, so that `tickcast up` and `tickcast submit` go on from there."""
    Stack(Settings()).down(purge=purge)
    typer.echo("The stack is down" + (" and its data are removed." if purge else "."))


def status(as_json: _JsonOption = False) -> None:
    """Say how every part of the stack is; exit code 0 only if all are healthy."""
    if not _report(Settings(), as_json=as_json):
        raise typer.Exit(1)


def doctor(
    fetch: Annotated[bool, typer.Option("--fetch", help="First fetch the jars that are not here yet.")] = False,
    as_json: _JsonOption = False,
) -> None:
    """Say what this machine lacks for the local stack, and the remedy."""
    if fetch:
        fetch_all()
    found = requirements(Settings().home)
    if as_json:
        checks = {name: {"met": met, "detail": detail} for name, met, detail in found}
        typer.echo(json.dumps({"healthy": all(met for _, met, _ in found), "requirements": checks}))
    else:
        for name, met, detail in found:
            typer.echo(f"{name:<9} {'ok     ' if met else 'MISSING'}  {detail}")
    if not all(met for _, met, _ in found):
        raise typer.Exit(1)


def _report(settings: Settings, *, as_json: bool) -> bool:
    stack = Stack(settings)
    health = stack.health()
    addresses = {component.name: component.address for component in stack.components}
    cluster = health["flink"]
    health["job"] = job_health(settings) if cluster.healthy else Health(healthy=False, detail="Flink is not healthy")
    addresses["job"] = settings.flink.rest_address
    healthy = all(part.healthy for part in health.values())
    if as_json:
        components = {
            name: {"healthy": part.healthy, "address": addresses[name], "detail": part.detail}
            for name, part in health.items()
        }
        typer.echo(json.dumps({"healthy": healthy, "components": components}))
    else:
        width = max(len(address) for address in addresses.values())
        for name, part in health.items():
            state = "healthy" if part.healthy else "NOT OK "
            typer.echo(f"{name:<9} {state}  {addresses[name]:<{width}}  {part.detail}")
    return healthy
