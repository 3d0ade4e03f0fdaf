"""The job's entry point: what `flink run -py` takes. Its settings come from the environment."""

from __future__ import annotations

import sys

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment

from jobs.pipeline import build_pipeline
from jobs.settings import Settings
from jobs.start import start_line
from udfs.artifact import ArtifactError


def main() -> None:
    """Builds the pipeline on the cluster's environment and submits it."""
    settings = Settings()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(settings.flink.checkpoint_interval_ms)
    env.set_parallelism(settings.flink.parallelism)
    try:
        build_pipeline(env, settings)
    except (ArtifactError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if start := start_line(sys.argv[1:]):
        configuration = Configuration()
        configuration.set_string("execution.state-recovery.path", start)
        env.configure(configuration)
    env.execute()


if __name__ == "__main__":
    main()
