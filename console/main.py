"""The ``tickcast`` command: its verbs, each loaded only when it is called."""

from __future__ import annotations

import importlib
import itertools
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from typer.core import TyperGroup

from console.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable


class Verb(NamedTuple):
    """Where a verb lives and what the overview says about it."""

    module: str
    attribute: str
    summary: str
    section: str


_STACK, _JOB, _DATA, _MODELS, _SERVICES = "Local stack", "Job", "Ticks and results", "Models", "Services"

VERBS = {
    "demo": Verb("console.demo", "demo", "Run one trading day through everything and verify it.", _STACK),
    "up": Verb("console.stack_cli", "up", "Start the local stack and create the topics.", _STACK),
    "down": Verb("console.stack_cli", "down", "Stop the local stack.", _STACK),
    "status": Verb("console.stack_cli", "status", "Say how every part of the stack is.", _STACK),
    "doctor": Verb("console.stack_cli", "doctor", "Say what this machine lacks, and the remedy.", _STACK),
    "submit": Verb("console.job", "submit", "Submit the job to the Flink cluster.", _JOB),
    "savepoint": Verb("console.job", "savepoint", "Write a savepoint; the job goes on.", _JOB),
    "stop": Verb("console.job", "stop", "Stop the job with a savepoint.", _JOB),
    "upgrade": Verb("console.job", "upgrade", "Replace the job by the current code, from a savepoint.", _JOB),
    "rescale": Verb("console.job", "rescale", "Run the job at another parallelism, from a savepoint.", _JOB),
    "bench": Verb("console.bench", "bench", "Measure the job's speed beside its peers'.", _JOB),
    "feed": Verb("console.feed", "app", "Send ticks to Kafka: simulate, replay, websocket.", _DATA),
    "tail": Verb("console.tail", "tail", "Show the committed messages of a topic.", _DATA),
    "verify": Verb("console.verify", "verify", "Prove that nothing was lost, doubled or changed.", _DATA),
    "chaos": Verb("console.trial.chaos", "chaos", "Kill parts of a stack of its own and count what got lost.", _DATA),
    "soak": Verb("console.trial.soak", "soak", "Run a stack of its own for long and see whether it grows.", _DATA),
    "lag": Verb("console.lag", "lag", "Say how far the job is behind the ticks.", _DATA),
    "train": Verb("console.train", "train", "Train a model version.", _MODELS),
    "evaluate": Verb("console.train", "evaluate", "Measure a model version on days it has not seen.", _MODELS),
    "model": Verb("console.model", "model", "List, show, promote and shadow model versions.", _MODELS),
    "view": Verb("console.view", "view", "Keep the latest result of every symbol in Redis.", _SERVICES),
    "history": Verb("console.history", "history", "Write committed results to PostgreSQL.", _SERVICES),
    "supervise": Verb("console.stack.supervisor", "supervise", "Start again what dies of the local stack.", _SERVICES),
}


class _LazyGroup(TyperGroup):
    """A group that imports a verb's module when the verb is called, not to list it."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        return _load(cmd_name, verb)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        for section, verbs in itertools.groupby(VERBS.items(), key=lambda item: item[1].section):
            with formatter.section(section):
                formatter.write_dl([(name, verb.summary) for name, verb in verbs])


def _load(name: str, verb: Verb) -> Any:
    """Command or group of commands behind a verb."""
    target: typer.Typer | Callable[..., Any] = getattr(importlib.import_module(verb.module), verb.attribute)
    if isinstance(target, typer.Typer):
        command = typer.main.get_command(target)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name)(target)
        command = typer.main.get_command(single)
    command.name = name
    return command


_app = typer.Typer(
    cls=_LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes twice as long to import as the help takes to print
    help="Predicts, for every trade of a stock exchange, whether the price will be up, flat or down a minute later.",
)


@_app.callback()
def _root() -> None:
    """Give the group a callback, so that it stays a group."""


def main() -> None:
    """Run the command; a failure the user can act on becomes one sentence and exit code 1."""
    try:
        typer.main.get_command(_app)(prog_name="tickcast")
    except CommandError as error:
        _fail(str(error))
    except ValueError as error:
        sentence = _settings_sentence(error)
        if sentence is None:
            raise
        _fail(sentence)


def _settings_sentence(error: ValueError) -> str | None:
    """What is wrong with the settings, if that is what the error is about."""
    if type(error).__name__ != "ValidationError" or getattr(error, "title", "") != "Settings":
        return None
    problems = [
        f"TICKCAST_{'__'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
        for problem in error.errors(include_input=False)  # type: ignore[attr-defined]
    ]
    return f"a setting in the environment is wrong; correct or unset it: {'; '.join(problems)}"


def _fail(sentence: str) -> None:
    typer.echo(f"tickcast: {sentence}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
