"""artpack turns a trained checkpoint into the smallest file that still scores."""

from artpack.api import (
    AuditFindings,
    AuditOptions,
    AuditReport,
    CompressInputs,
    CompressResult,
    Curve,
    CurvePoint,
    EvalResult,
    Scoring,
    TttOptions,
    TttReport,
    WindowOptions,
    audit,
    calibrate,
    compress,
    evaluate,
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
from artpack.evaluate.audit.sample import Sample
from artpack.evaluate.scoring.score import Comparison
from artpack.evaluate.scoring.summary import Score
from artpack.evaluate.tokens.stream import Stream
from artpack.models import ModelConfig
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress
from artpack.version import __version__

__all__ = [
    "Artifact",
    "ArtifactError",
    "ArtpackError",
    "AuditFindings",
    "AuditOptions",
    "AuditReport",
    "BudgetError",
    "Calibration",
    "CheckpointError",
    "Comparison",
    "CompressInputs",
    "CompressResult",
    "CorruptError",
    "Curve",
    "CurvePoint",
    "EvalResult",
    "ModelConfig",
    "Progress",
    "RecipeError",
    "Sample",
    "Score",
    "Scoring",
    "Settings",
    "Stream",
    "TruncatedError",
    "TttOptions",
    "TttReport",
    "UnknownStageError",
    "UsageError",
    "Verification",
    "VersionError",
    "WindowOptions",
    "__version__",
    "audit",
    "calibrate",
    "compress",
    "evaluate",
    "load",
    "load_into",
    "open",
    "save",
    "sweep",
    "unpack",
    "verify",
]
