"""artpack turns a trained checkpoint into the smallest file that still scores."""

from artpack.api import load, open, save
from artpack.artifact.reader import Artifact
from artpack.errors import (
    ArtifactError,
    ArtpackError,
    CheckpointError,
    CorruptError,
    RecipeError,
    TruncatedError,
    UnknownStageError,
    UsageError,
    VersionError,
)
from artpack.version import __version__

__all__ = [
    "Artifact",
    "ArtifactError",
    "ArtpackError",
    "CheckpointError",
    "CorruptError",
    "RecipeError",
    "TruncatedError",
    "UnknownStageError",
    "UsageError",
    "VersionError",
    "__version__",
    "load",
    "open",
    "save",
]
