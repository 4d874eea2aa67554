"""A run as a file, from which it goes on as if nothing had happened."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artpack.checkpoint.saved import load_saved
from artpack.checkpoint.source import reason
from artpack.errors import CheckpointError
from artpack.system.atomic import write_atomically

STATE_NAME = "state.pt"
CHECKPOINT_NAME = "ckpt.pt"


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """
    Replace the state of a run at once or not at all.

    Args:
        folder: Of the run.
        state: Tensors, numbers and text in dicts and lists.

    Raises:
        OSError: The folder cannot be written to.

    """
    write_atomically(folder / STATE_NAME, [_bytes(dict(state))])


def read_state(folder: Path, *, fingerprint: str) -> dict[str, Any]:
    """
    Read the state of a run.

    Args:
        folder: Of the run.
        fingerprint: Of the run that is to go on.

    Returns:
        What :func:`write_state` was given.

    Raises:
        CheckpointError: The file cannot be read, or is of another run.

    """
    path = folder / STATE_NAME
    try:
        state = load_saved(path)
    except Exception as error:
        raise CheckpointError(f"{path}: not a state of a run ({reason(error)})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a state of a run")
    if state.get("fingerprint") != fingerprint:
        raise CheckpointError(
            f"{path}: of a run with another recipe, model or data: give those, or another folder"
        )
    return state


def write_checkpoint(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """
    Write the weights that are kept.

    Args:
        folder: Of the run.
        weights: Name to tensor.

    Raises:
        OSError: The folder cannot be written to.

    """
    own = {name: weight.detach().cpu().clone() for name, weight in weights.items()}
    write_atomically(folder / CHECKPOINT_NAME, [_bytes(own)])


def _bytes(value: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
