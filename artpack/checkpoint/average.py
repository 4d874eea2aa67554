"""
Several checkpoints of one model, averaged tensor by tensor as they are read.

Averaging the last checkpoints of a run usually scores better than the last one alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from artpack.checkpoint.checkpoint import Checkpoint
from artpack.errors import CheckpointError, UsageError
from artpack.system.late import torch

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def mean_weights(count: int) -> tuple[float, ...]:
    """
    Return how much each of some checkpoints counts in their mean.

    Args:
        count: How many there are.

    Returns:
        One number each; they add up to 1.

    >>> mean_weights(4)
    (0.25, 0.25, 0.25, 0.25)

    """
    return (1 / count,) * count


def ema_weights(count: int, decay: float) -> tuple[float, ...]:
    """
    Return how much each checkpoint counts in an exponential moving average.

    The average starts at the first, and each later one moves it by ``1 - decay`` of the
    way towards itself.

    Args:
        count: How many there are, oldest first.
        decay: Above 0 and below 1.

    Returns:
        One number each; they add up to 1.

    Raises:
        UsageError: The decay is out of range.

    >>> ema_weights(3, 0.5)
    (0.25, 0.25, 0.5)

    """
    if not 0 < decay < 1:
        raise UsageError(f"decay must be between 0 and 1, got {decay}")
    later = ((1 - decay) * decay ** (count - 1 - i) for i in range(1, count))
    return (decay ** (count - 1), *later)


class Average(Checkpoint):
    """
    The weighted mean of checkpoints; read like any other.

    Sums are float64. Floating-point tensors of less than 32 bits become float32, as a
    mean lies between their values; tensors of integers are those of the last checkpoint.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint], weights: Sequence[float]) -> None:
        """
        Check that the checkpoints are of one model.

        Args:
            checkpoints: One or more; closed with the average.
            weights: How much each counts.

        Raises:
            CheckpointError: Their tensors differ in name, shape, dtype or ties.

        """
        self._checkpoints, self._weights = tuple(checkpoints), tuple(weights)
        last = self._checkpoints[-1]
        for number, other in enumerate(self._checkpoints, 1):
            _check_same(last, other, f"checkpoint {number} of {len(self._checkpoints)}")
        self.names, self.ties, self.banks = last.names, last.ties, last.banks
        self.exact, self.graph = last.exact, last.graph
        self.tensors = tuple(replace(info, dtype=_mean_dtype(info.dtype)) for info in last.tensors)
        self.notes = tuple(dict.fromkeys(note for one in self._checkpoints for note in one.notes))
        self._dtypes = {info.name: info.dtype for info in self.tensors}

    def oriented(self, transposed: Collection[str]) -> Average:
        """Return the same average, some matrices of it stored transposed."""
        return Average([one.oriented(transposed) for one in self._checkpoints], self._weights)

    def read(self, name: str) -> Tensor:
        """
        Average one stored tensor.

        Args:
            name: One of ``tensors``.

        Returns:
            Of the dtype and shape in ``tensors``; contiguous, on the CPU.

        Raises:
            UsageError: There is no such tensor, or the checkpoints are closed.
            CheckpointError: A file was changed since it was opened.

        """
        last = self._checkpoints[-1].read(name)
        if not _converts(last.dtype):
            return last
        total = torch.zeros(last.shape, dtype=torch.float64)
        for checkpoint, weight in zip(self._checkpoints, self._weights, strict=True):
            total.add_(checkpoint.read(name).to(torch.float64), alpha=weight)
        return total.to(self._dtypes[name])

    @property
    def files(self) -> tuple[Path, ...]:
        """What all checkpoints are read from; nothing if one is in memory."""
        each = [checkpoint.files for checkpoint in self._checkpoints]
        return tuple(file for files in each for file in files) if all(each) else ()

    def release(self) -> None:
        """Give back the memory of tensors that were read and dropped."""
        for checkpoint in self._checkpoints:
            checkpoint.release()

    @cached_property
    def sha256(self) -> str:
        """Hash of the sources' hashes and weights, in hexadecimal."""
        lines = [
            f"{checkpoint.sha256} {weight!r}\n"
            for checkpoint, weight in zip(self._checkpoints, self._weights, strict=True)
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def close(self) -> None:
        """Let go of all files; tensors that were read stay valid."""
        for checkpoint in self._checkpoints:
            checkpoint.close()


def _converts(dtype: torch.dtype) -> bool:
    """Return whether a mean can be taken: not of two numbers to a byte."""
    return dtype.is_floating_point and not str(dtype).endswith("_x2")


def _mean_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if _converts(dtype) and dtype.itemsize < 4 else dtype


def _check_same(last: Checkpoint, other: Checkpoint, where: str) -> None:
    wanted = {info.name: info for info in last.tensors}
    for info in other.tensors:
        if wanted.get(info.name) != info:
            shape = f"{info.name!r} {list(info.shape)} {str(info.dtype).removeprefix('torch.')}"
            raise CheckpointError(
                f"{where} has {shape}, unlike the last one: average like with like"
            )
    if missing := wanted.keys() - {info.name for info in other.tensors}:
        raise CheckpointError(f"{where} lacks {min(missing)!r}: average like with like")
    if set(other.ties) != set(last.ties):
        raise CheckpointError(
            f"{where} ties other tensors than the last one: average like with like"
        )
