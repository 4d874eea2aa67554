"""Symmetric integers with one step a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from artpack.errors import UsageError
from artpack.quantize.grids.checked_grid import CheckedGrid, Weights, centred
from artpack.quantize.matrix_view import finite_chunks, matrix_shape
from artpack.quantize.rounding.clips import CLIPS, Clip
from artpack.quantize.scales import SCALES, Fp16Scales, Scales
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RowInt(CheckedGrid):
    """
    Each weight as a whole number of its row's steps, from ``-radius`` to ``radius``.

    Attributes:
        bits: 2 to 8; the radius is ``2**(bits - 1) - 1``.
        clip: Where the outermost level of a row goes: at the largest magnitude if
            this rule has no answer, as the standard deviation of equal weights.
        scales: How the steps are stored. Weights are rounded with the steps as
            a reader will see them.
    """

    stage_id: ClassVar[str] = "row-int"
    bits: int
    clip: Clip = field(metadata={"table": CLIPS})
    scales: Scales = field(default_factory=Fp16Scales, metadata={"table": SCALES})

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise UsageError(f"row-int: bits must be 2 to 8, got {self.bits}")

    @property
    def label(self) -> str:
        """``int6``."""
        return f"int{self.bits}"

    @property
    def radius(self) -> int:
        """The outermost code."""
        return (1 << (self.bits - 1)) - 1

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return ``codes``, of alphabet ``2 * radius + 1``, and the parts of the scales."""
        rows, cols = matrix_shape(shape)
        return PartSpec("codes", rows, cols, 2 * self.radius + 1), *self.scales.parts(rows, 1)

    def steps(self, weight: Tensor) -> Tensor:
        """
        Return the step of each row.

        Args:
            weight: Floating point, any shape.

        Returns:
            Positive, of the type that the scales are stored in, shape ``(rows, 1)``.

        Raises:
            UsageError: A weight is not finite, or a step too large.

        """
        return self.scales.rounded(self.exact_steps(weight))

    def exact_steps(self, weight: Tensor) -> Tensor:
        """
        Return the step of each row before it is rounded.

        Args:
            weight: Floating point, any shape.

        Returns:
            float64, shape ``(rows, 1)``; 0 for a row of zeros.

        Raises:
            UsageError: A weight is not finite.

        """
        rows, cols = matrix_shape(weight.shape)
        thresholds = torch.zeros(rows, 1, dtype=torch.float64)
        for at, chunk in finite_chunks(weight, (rows, cols)):
            found = self.clip.thresholds(chunk.double(), radius=self.radius)
            widest = chunk.abs().amax(dim=1).double()
            thresholds[at, 0] = torch.where(found > 0, found, widest)
        return thresholds / self.radius

    def quantize(self, weight: Tensor) -> Quantized:
        """
        Round a weight tensor to its rows' steps, half to even.

        Args:
            weight: Floating point, any shape, finite.

        Returns:
            Codes plus radius, and the scales.

        Raises:
            UsageError: A weight is not finite, or a step too large for fp16.

        """
        shape = matrix_shape(weight.shape)
        scale_parts = self.scales.quantize(self.steps(weight))
        steps = torch.from_numpy(self.scales.values(scale_parts, shape=(shape[0], 1)))
        symbols = np.empty(shape, np.uint8)
        for at, chunk in finite_chunks(weight, shape):
            codes = (chunk / steps[at]).round_().clamp_(-self.radius, self.radius)
            symbols[at] = codes.add_(self.radius).to(torch.uint8).numpy()
        return Quantized(tuple(weight.shape), {"codes": symbols, **scale_parts})

    def _weights(self, parts: Mapping[str, Symbols], shape: tuple[int, int]) -> Weights:
        """Return code times step; exact for fp16 steps, as a code has 8 bits and a step 11."""
        weights = centred(parts["codes"], self.radius)
        weights *= self.scales.values(parts, shape=(shape[0], 1))
        return weights

    def stored_steps(self, quantized: Quantized) -> Tensor:
        """
        Return the steps as a reader sees them.

        Args:
            quantized: Symbols of the geometry that :meth:`parts` gives.

        Returns:
            fp32, non-negative, shape ``(rows, 1)``.

        Raises:
            CorruptError: The scales hold impossible values.

        """
        shape = len(quantized.parts["codes"]), 1
        return torch.from_numpy(self.scales.values(quantized.parts, shape=shape))
