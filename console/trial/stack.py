"""A stack that exists for one trial: nothing of the user's is killed, no made-up trade gets into their topics."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from console.job import submit_job
from console.stack.ports import free_port
from console.stack.stack import Stack
from jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Say = Callable[[str], None]

_ENVIRONMENT = "environment"


class Trial:
    """A trial's stack with the job on it.

    Attributes:
        settings: The user's own, but for addresses, folder and log-on.
        stack: What runs.
        failed: Whether the data are kept when the trial ends; set to False by whoever finds all well.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stack = Stack(settings)
        self.failed = True


@contextmanager
def trial_stack(name: str, say: Say, changes: Mapping[str, str]) -> Iterator[Trial]:
    """Starts a fresh stack with the job in `<home>/<name>`, on free ports; stops it in the end.

    The data of a trial that failed are kept, with a file that holds the variables to look into them.

    Args:
        name: Folder of the trial below the stack's own.
        say: Told, line by line, what is done.
        changes: Settings, by variable, that the trial wants to be others than the user's.
    """
    home = Settings().home / name
    variables = {**_variables(home), **changes}
    # As the environment, so that supervisor, services and workers have the same settings.
    os.environ.update(variables)
    settings = Settings()
    trial = Trial(settings)
    trial.stack.down(purge=True)
    (home / _ENVIRONMENT).write_text("".join(f"{key}={value}\n" for key, value in variables.items()), "utf-8")
    try:
        say(f"starting a stack of its own in {home}")
        trial.stack.up(say)
        say("submitting the job with flink run")
        submit_job(settings)
        yield trial
    finally:
        trial.stack.down(purge=not trial.failed)
        if trial.failed:
            say(
                f"the data and logs are kept in {home}: `env $(cat {home / _ENVIRONMENT}) tickcast up` starts the stack"
                " again, and with the same in front `tickcast verify` looks into it; the next trial removes them"
            )
        else:
            shutil.rmtree(home, ignore_errors=True)


def _variables(home: Path) -> dict[str, str]:
    return {
        "TICKCAST_STACK__HOME": str(home),
        "TICKCAST_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "TICKCAST_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT",
        "TICKCAST_KAFKA__REPLICATION_FACTOR": "1",
        "TICKCAST_FLINK__REST_ADDRESS": f"http://127.0.0.1:{free_port()}",
        "TICKCAST_FLINK__CHECKPOINT_DIR": "",
        "TICKCAST_REDIS__URL": f"redis://127.0.0.1:{free_port()}/0",
        "TICKCAST_POSTGRES__DSN": f"postgresql://tickcast@127.0.0.1:{free_port()}/tickcast",
    }
