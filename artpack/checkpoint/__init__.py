"""
A file of weights as ordered, named tensors.

:func:`open_checkpoint` reads what ``torch.save`` wrote, safetensors, GGUF, and the
folders and shard indexes of Hugging Face; :func:`from_state_dict` takes what
is in memory already. Both give a :class:`Checkpoint`: tied tensors are stored
once, three-dimensional banks are opened into one matrix a layer, and
:func:`restore` makes the original names out of what was stored. An :class:`Average`
of several is read like one.
"""

from artpack.checkpoint.average import Average, ema_weights, mean_weights
from artpack.checkpoint.banks import Bank
from artpack.checkpoint.checkpoint import (
    Checkpoint,
    checkpoint_files,
    from_state_dict,
    open_checkpoint,
    restore,
)
from artpack.checkpoint.source import TensorInfo
from artpack.checkpoint.ties import Tie

__all__ = [
    "Average",
    "Bank",
    "Checkpoint",
    "TensorInfo",
    "Tie",
    "checkpoint_files",
    "ema_weights",
    "from_state_dict",
    "mean_weights",
    "open_checkpoint",
    "restore",
]
