"""A deployment of its own on the tests' broker, with models of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from console.stack.topics import create_topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from console.stack.kafka import KafkaBroker
    from jobs.settings import Settings


@pytest.fixture
def settings(stack_settings: Settings, broker: KafkaBroker, tmp_path: Path) -> Settings:
    """Settings of a deployment whose topics and folder of models are empty."""
    del broker
    kafka = stack_settings.kafka.model_copy(update={"topic_prefix": f"t{uuid.uuid4().hex[:8]}", "partitions": 2})
    model = stack_settings.model.model_copy(update={"directory": tmp_path / "models"})
    fresh = stack_settings.model_copy(update={"kafka": kafka, "model": model})
    create_topics(fresh)
    return fresh


@pytest.fixture
def tickcast(settings: Settings, stack_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command in that deployment to its end."""
    environment = {
        **os.environ,
        **stack_environment,
        "TICKCAST_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "TICKCAST_MODEL__DIRECTORY": str(settings.model.directory),
    }

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "console.main", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)

    return run
