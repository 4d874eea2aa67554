"""
What a task needs of a checkpoint and of a calibration.

Where all workers see a file, it goes by its path, as both are pickled; otherwise one
tensor is sent.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from artpack.calibration.file import KINDS, Calibration
from artpack.checkpoint import Checkpoint
from artpack.system.workers import Workers


class Weights(Protocol):
    """What gives stored tensors: a checkpoint, or a part of it."""

    def read(self, name: str) -> Tensor:
        """Return a tensor, for reading only."""

    def release(self) -> None:
        """Give back memory of tensors that were dropped."""


@dataclass(frozen=True, eq=False)
class OneTensor:
    """
    One tensor of a checkpoint.

    Attributes:
        tensor: It.
    """

    tensor: Tensor

    def read(self, name: str) -> Tensor:  # noqa: ARG002 - there is but one
        """Return the tensor."""
        return self.tensor

    def release(self) -> None:
        """Keep it."""


def weights_of(workers: Workers, checkpoint: Weights, name: str) -> Weights:
    """
    Return what a task is given of the weights.

    Args:
        workers: Who does the task.
        checkpoint: All weights.
        name: The tensor that it needs.

    Returns:
        The checkpoint or the tensor, in memory of its own: what is pickled is whole memory.

    """
    if isinstance(checkpoint, Checkpoint) and workers.sees(checkpoint.files):
        return checkpoint
    return OneTensor(checkpoint.read(name).clone())


def calibration_of(
    workers: Workers, calibration: Calibration | None, name: str
) -> Calibration | None:
    """
    Return what a task is given of a calibration.

    Args:
        workers: Who does the task.
        calibration: All that is known of the data.
        name: The tensor that it needs.

    Returns:
        The calibration, or what it knows of the tensor.

    """
    if calibration is None or workers.sees(calibration.files):
        return calibration
    kinds: dict[str, Any] = {
        kind: {name: known[name]} if name in (known := getattr(calibration, kind)) else {}
        for kind in KINDS
    }
    return replace(calibration, **kinds)
