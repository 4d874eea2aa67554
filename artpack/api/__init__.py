"""The jobs of the README, each a single call."""

from artpack.api.audit import audit
from artpack.api.audit_result import AuditFindings, AuditReport
from artpack.api.calibrate import calibrate
from artpack.api.compress import CompressResult, compress
from artpack.api.containers import (
    ExportResult,
    ImportResult,
    export_container,
    import_container,
)
from artpack.api.eval_options import AuditOptions, TttOptions, WindowOptions
from artpack.api.eval_result import EvalResult, TttReport
from artpack.api.evaluate import evaluate
from artpack.api.files import load, load_into, open, save, unpack, verify  # noqa: A004
from artpack.api.inputs import CompressInputs
from artpack.api.scoring import Scoring
from artpack.api.sweep import Curve, CurvePoint, sweep
from artpack.api.tokenize import TokenizeResult, tokenize
from artpack.api.train import train
from artpack.training.train import TrainResult

__all__ = [
    "AuditFindings",
    "AuditOptions",
    "AuditReport",
    "CompressInputs",
    "CompressResult",
    "Curve",
    "CurvePoint",
    "EvalResult",
    "ExportResult",
    "ImportResult",
    "Scoring",
    "TokenizeResult",
    "TrainResult",
    "TttOptions",
    "TttReport",
    "WindowOptions",
    "audit",
    "calibrate",
    "compress",
    "evaluate",
    "export_container",
    "import_container",
    "load",
    "load_into",
    "open",
    "save",
    "sweep",
    "tokenize",
    "train",
    "unpack",
    "verify",
]
