"""artpack turns a trained checkpoint into the smallest file that still scores."""

from artpack.api import (
    CompressInputs,
    CompressResult,
    Curve,
    CurvePoint,
    Scoring,
    calibrate,
    compress,
    load,
    load_into,
    open,
    save,
    sweep,
    unpack,
    verify,
)
from artpack.artifact.reader import Artifact
from artpack.artifact.verify import Verification
from artpack.calibration.file import Calibration
from artpack.errors import (
    ArtifactError,
    ArtpackError,
    BudgetError,
    CheckpointError,
    CorruptError,
    RecipeError,
    TruncatedError,
    UnknownStageError,
    UsageError,
    VersionError,
)
from artpack.models import ModelConfig
from artpack.version import __version__

__all__ = [
    "Artifact",
    "ArtifactError",
    "ArtpackError",
    "BudgetError",
    "Calibration",
    "CheckpointError",
    "CompressInputs",
    "CompressResult",
    "CorruptError",
    "Curve",
    "CurvePoint",
    "ModelConfig",
    "RecipeError",
    "Scoring",
    "TruncatedError",
    "UnknownStageError",
    "UsageError",
    "Verification",
    "VersionError",
    "__version__",
    "calibrate",
    "compress",
    "load",
    "load_into",
    "open",
    "save",
    "sweep",
    "unpack",
    "verify",
]
