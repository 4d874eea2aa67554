"""artpack turns a trained checkpoint into the smallest file that still scores."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from artpack.version import __version__

if TYPE_CHECKING:
    from artpack.api.audit_result import AuditFindings, AuditReport
    from artpack.api.auditing import audit
    from artpack.api.bundle import BundleResult, bundle
    from artpack.api.calibrate import calibrate
    from artpack.api.compare import CompareResult, compare
    from artpack.api.compress import CompressResult, compress
    from artpack.api.containers import (
        ExportResult,
        ImportResult,
        export_container,
        import_container,
    )
    from artpack.api.doctor import DoctorReport, doctor
    from artpack.api.eval_options import (
        AuditOptions,
        TttOptions,
        WindowOptions,
    )
    from artpack.api.eval_result import EvalResult, TttReport
    from artpack.api.evaluate import evaluate
    from artpack.api.evaluator_report import EvaluatorReport
    from artpack.api.files import load, load_into, open, verify
    from artpack.api.finetune import finetune
    from artpack.api.inputs import CompressInputs
    from artpack.api.plan import WorkPlan, plan
    from artpack.api.rebuild import RebuildResult, rebuild
    from artpack.api.save import save
    from artpack.api.scoring import Scoring
    from artpack.api.submission_audit import SubmissionReport, audit_submission
    from artpack.api.submit import SubmitResult, submit
    from artpack.api.sweep import Curve, CurvePoint, sweep
    from artpack.api.tokenize import TokenizeResult, tokenize
    from artpack.api.train import train
    from artpack.api.unpacking import unpack
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
    from artpack.evaluation.audit.condition import Condition
    from artpack.evaluation.audit.sample import Sample
    from artpack.evaluation.black_box.plan import ExaminationPlan
    from artpack.evaluation.scoring.score import Comparison
    from artpack.evaluation.scoring.summary import Score
    from artpack.evaluation.tokens.stream import Stream
    from artpack.models import ModelConfig
    from artpack.runners.settings import Settings
    from artpack.stages.progress import Progress
    from artpack.submission.record import Submission
    from artpack.system.cluster import Cluster
    from artpack.system.run_folder import RunFolder
    from artpack.training.train import TrainResult

__all__ = [
    "Artifact",
    "ArtifactError",
    "ArtpackError",
    "AuditFindings",
    "AuditOptions",
    "AuditReport",
    "BudgetError",
    "BundleResult",
    "Calibration",
    "CheckpointError",
    "Cluster",
    "CompareResult",
    "Comparison",
    "CompressInputs",
    "CompressResult",
    "Condition",
    "CorruptError",
    "Curve",
    "CurvePoint",
    "DoctorReport",
    "EvalResult",
    "EvaluatorReport",
    "ExaminationPlan",
    "ExportResult",
    "ImportResult",
    "ModelConfig",
    "Progress",
    "RebuildResult",
    "RecipeError",
    "RunFolder",
    "Sample",
    "Score",
    "Scoring",
    "Settings",
    "Stream",
    "Submission",
    "SubmissionReport",
    "SubmitResult",
    "TokenizeResult",
    "TrainResult",
    "TruncatedError",
    "TttOptions",
    "TttReport",
    "UnknownStageError",
    "UsageError",
    "Verification",
    "VersionError",
    "WindowOptions",
    "WorkPlan",
    "__version__",
    "audit",
    "audit_submission",
    "bundle",
    "calibrate",
    "compare",
    "compress",
    "doctor",
    "evaluate",
    "export_container",
    "finetune",
    "import_container",
    "load",
    "load_into",
    "open",
    "plan",
    "rebuild",
    "save",
    "submit",
    "sweep",
    "tokenize",
    "train",
    "unpack",
    "verify",
]

_EXPORTS = {
    "artpack.api.audit_result": ("AuditFindings", "AuditReport"),
    "artpack.api.auditing": ("audit",),
    "artpack.api.bundle": ("BundleResult", "bundle"),
    "artpack.api.calibrate": ("calibrate",),
    "artpack.api.compare": ("CompareResult", "compare"),
    "artpack.api.compress": ("CompressResult", "compress"),
    "artpack.api.containers": (
        "ExportResult",
        "ImportResult",
        "export_container",
        "import_container",
    ),
    "artpack.api.doctor": ("DoctorReport", "doctor"),
    "artpack.api.eval_options": ("AuditOptions", "TttOptions", "WindowOptions"),
    "artpack.api.eval_result": ("EvalResult", "TttReport"),
    "artpack.api.evaluate": ("evaluate",),
    "artpack.api.evaluator_report": ("EvaluatorReport",),
    "artpack.api.files": ("load", "load_into", "open", "verify"),
    "artpack.api.unpacking": ("unpack",),
    "artpack.api.plan": ("WorkPlan", "plan"),
    "artpack.api.rebuild": ("RebuildResult", "rebuild"),
    "artpack.api.save": ("save",),
    "artpack.api.finetune": ("finetune",),
    "artpack.api.inputs": ("CompressInputs",),
    "artpack.api.scoring": ("Scoring",),
    "artpack.api.submission_audit": ("SubmissionReport", "audit_submission"),
    "artpack.api.submit": ("SubmitResult", "submit"),
    "artpack.api.sweep": ("Curve", "CurvePoint", "sweep"),
    "artpack.api.tokenize": ("TokenizeResult", "tokenize"),
    "artpack.api.train": ("train",),
    "artpack.artifact.reader": ("Artifact",),
    "artpack.artifact.verify": ("Verification",),
    "artpack.calibration.file": ("Calibration",),
    "artpack.errors": (
        "ArtifactError",
        "ArtpackError",
        "BudgetError",
        "CheckpointError",
        "CorruptError",
        "RecipeError",
        "TruncatedError",
        "UnknownStageError",
        "UsageError",
        "VersionError",
    ),
    "artpack.evaluation.audit.condition": ("Condition",),
    "artpack.evaluation.audit.sample": ("Sample",),
    "artpack.evaluation.black_box.plan": ("ExaminationPlan",),
    "artpack.evaluation.scoring.score": ("Comparison",),
    "artpack.evaluation.scoring.summary": ("Score",),
    "artpack.evaluation.tokens.stream": ("Stream",),
    "artpack.models": ("ModelConfig",),
    "artpack.runners.settings": ("Settings",),
    "artpack.stages.progress": ("Progress",),
    "artpack.submission.record": ("Submission",),
    "artpack.system.cluster": ("Cluster",),
    "artpack.system.run_folder": ("RunFolder",),
    "artpack.training.train": ("TrainResult",),
}
"""Module to what is exported of it, imported when it is asked for: torch takes seconds."""

if not TYPE_CHECKING:  # type checkers know the names from above, and others are errors
    _HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

    def __getattr__(name: str) -> object:
        """Import what is exported, or a package below this one, when it is first asked for."""
        if name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
            globals()[name] = value
            return value
        if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
