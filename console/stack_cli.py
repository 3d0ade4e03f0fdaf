"""``tickcast up``, ``down``, ``status`` and ``doctor``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from console.job import job_health
from console.stack.component import Health
from console.stack.jars import fetch_all
from console.stack.requirements import requirements
from console.stack.restarts import JOB, Restarts, restarts_of
from console.stack.stack import Stack
from jobs.settings import Settings

_JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, last.")]


def up(
    supervise: Annotated[
        bool, typer.Option("--supervise/--no-supervise", help="Start again what dies, until `tickcast down`.")
    ] = True,
    as_json: _JsonOption = False,
) -> None:
    """Start what does not run of the local stack, and create the topics."""
    settings = Settings()
    Stack(settings).up(say=lambda line: typer.echo(line, err=as_json), supervise=supervise)
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
    components = _components(settings)
    healthy = all(component["healthy"] for component in components.values())
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "components": components}))
    else:
        width = max(len(component["address"]) for component in components.values())
        for name, component in components.items():
            state = "healthy" if component["healthy"] else "NOT OK "
            typer.echo(f"{name:<9} {state}  {component['address']:<{width}}  {_said(component)}")
    return healthy


def _components(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every component's state as `status --json` gives it; supervisor and job stand among them."""
    stack = Stack(settings)
    restarts = stack.restarts()
    health = stack.health()
    found = {
        component.name: _component(component.address, health[component.name], restarts_of(component, restarts))
        for component in stack.components
    }
    found[stack.supervisor.name] = _component(stack.supervisor.address, stack.supervisor.healthy(), Restarts())
    cluster = health["flink"].healthy
    job = job_health(settings) if cluster else Health(healthy=False, detail="Flink is not healthy")
    found["job"] = _component(settings.flink.rest_address, job, restarts.get(JOB, Restarts()))
    return found


def _component(address: str, health: Health, restarts: Restarts) -> dict[str, Any]:
    return {
        "healthy": health.healthy,
        "address": address,
        "detail": restarts.given_up if restarts.given_up and not health.healthy else health.detail,
        "restarts": restarts.count,
        "last_restart": f"{restarts.last_time}: {restarts.last_reason}" if restarts.count else None,
    }


def _said(component: dict[str, Any]) -> str:
    count = component["restarts"]
    if not count:
        return str(component["detail"])
    times = "once" if count == 1 else f"{count} times"
    return f"{component['detail']}; started again {times}, last {component['last_restart']}"
