"""What is handed to the cluster holds no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRETS = ("hush-kafka", "hush-redis", "hush-postgres")


@pytest.fixture
def settings(model_directory: Path) -> Settings:
    """Settings of a job that logs on; nothing runs, so nobody need be there."""
    plain = Settings()
    return plain.model_copy(
        update={
            "kafka": plain.kafka.model_copy(
                update={
                    "security_protocol": "SASL_SSL",
                    "sasl_username": "desk-user",
                    "sasl_password": SecretStr(SECRETS[0]),
                    "ssl_ca_file": "/authority.pem",
                }
            ),
            "redis": plain.redis.model_copy(update={"url": SecretStr(f"rediss://:{SECRETS[1]}@redis:6379")}),
            "postgres": plain.postgres.model_copy(update={"dsn": SecretStr(f"postgresql://t:{SECRETS[2]}@pg/t")}),
            "model": plain.model.model_copy(update={"directory": model_directory}),
        }
    )


def test_no_secret_is_in_the_plan_or_in_the_bytes_of_the_job_graph(
    settings: Settings, make_environment: Callable[..., object]
) -> None:
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - only tests that build a job pay

    from jobs.pipeline import build_pipeline  # noqa: PLC0415

    env = make_environment(settings)
    build_pipeline(env, settings)
    plan = env.get_execution_plan().encode()
    serialize = get_gateway().jvm.org.apache.flink.util.InstantiationUtil.serializeObject
    graph = bytes(serialize(env._j_stream_execution_environment.getStreamGraph(False).getJobGraph()))

    # The search would find them: what stands beside the password is there, and so are our functions.
    assert b"desk-user" in graph
    assert b"SymbolProcess" in graph or b"symbol_process" in graph
    assert b"nepse-predictions" in plan + graph
    assert [secret for secret in SECRETS if secret.encode() in plan + graph] == []
