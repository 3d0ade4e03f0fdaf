"""Whether a model version may score, asked by the running job before a command comes into force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state.model_control import CommandRefusedError
from udfs.artifact import ArtifactError, load_artifact

if TYPE_CHECKING:
    from pathlib import Path


class ModelCheck:
    """Refuses versions that are missing, damaged or made for other features.

    Args:
        directory: Folder of the model versions.
        feature_schema: Hash of the features that the running code computes.
    """

    def __init__(self, directory: Path, feature_schema: str) -> None:
        self._directory = directory
        self._feature_schema = feature_schema

    def __call__(self, version: str) -> None:
        """Loads the version and lets it go again.

        Raises:
            CommandRefusedError: If it must not score.
        """
        try:
            load_artifact(self._directory, version, self._feature_schema)
        except ArtifactError as error:
            raise CommandRefusedError(str(error)) from None
