"""The jobs of the README, each a single call."""

from artpack.api.calibrate import calibrate
from artpack.api.compress import CompressResult, compress
from artpack.api.files import load, load_into, open, save, unpack, verify  # noqa: A004
from artpack.api.inputs import CompressInputs
from artpack.api.scoring import Scoring
from artpack.api.sweep import Curve, CurvePoint, sweep

__all__ = [
    "CompressInputs",
    "CompressResult",
    "Curve",
    "CurvePoint",
    "Scoring",
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
