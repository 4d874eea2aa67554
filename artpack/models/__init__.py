"""
One config-driven GPT, built from small modules that each carry one mechanism.

Checkpoints of five published parameter-golf systems load under their own names
and give their own logits; ``published`` reads those systems' configs and
``presets`` holds the published ones.
"""

from artpack.models.build import build, expected_shapes, parameter_count
from artpack.models.config import ModelConfig
from artpack.models.document_mask import Documents
from artpack.models.gpt import GPT
from artpack.models.presets import PRESETS, preset
from artpack.models.published import read_config
from artpack.models.recognize import recognize

__all__ = [
    "GPT",
    "PRESETS",
    "Documents",
    "ModelConfig",
    "build",
    "expected_shapes",
    "parameter_count",
    "preset",
    "read_config",
    "recognize",
]
