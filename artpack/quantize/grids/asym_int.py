"""Integers from ``-half`` to ``half - 1``, scaled by the row's largest magnitude."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from artpack.errors import UsageError
from artpack.quantize.grids.checked_grid import CheckedGrid, Weights, centred
from artpack.quantize.matrix_view import finite_chunks, matrix_shape
from artpack.quantize.scales import Fp16Scales, fp16_scales
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

CLIP_SHARES = (0.90, 0.925, 0.95, 0.975, 0.99, 0.995, 1.0)
"""Shares of a row's magnitudes that the search for a clip tries; the first of equals wins."""


@dataclass(frozen=True)
class RowAsymInt(CheckedGrid):
    """
    Each weight in ``2**bits`` levels between minus and plus the row's largest magnitude.

    There is no level at plus the largest magnitude: such a weight loses one step.

    Attributes:
        bits: 2 to 8.

    Source: parameter-golf pull request 1123, its int4 to int6 layers.

    """

    stage_id: ClassVar[str] = "row-asym-int"
    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise UsageError(f"row-asym-int: bits must be 2 to 8, got {self.bits}")

    @property
    def label(self) -> str:
        """``asym-int6``."""
        return f"asym-int{self.bits}"

    @property
    def half(self) -> int:
        """How many levels lie below zero."""
        return 1 << (self.bits - 1)

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return ``codes``, of alphabet ``2**bits``, ``scales.0`` and ``scales.1``."""
        rows, cols = matrix_shape(shape)
        return PartSpec("codes", rows, cols, 2 * self.half), *Fp16Scales().parts(rows, 1)

    def quantize(self, weight: Tensor, *, share: float = 1.0) -> Quantized:
        """
        Round a weight tensor to its rows' levels, half to even.

        Args:
            weight: Floating point, any shape, finite.
            share: A row is clipped at the largest of this share of its magnitudes, the
                smallest ones: above 0, up to 1, which clips nothing.

        Returns:
            Codes plus half, and the rows' largest magnitudes, or where they are clipped. The
            rounding uses them before they become fp16, as the original does.

        Raises:
            UsageError: A weight is not finite, or too large for fp16.

        """
        shape = matrix_shape(weight.shape)
        symbols = np.empty(shape, np.uint8)
        widest = torch.zeros(shape[0], 1)
        for at, chunk in finite_chunks(weight, shape):
            codes, widest[at] = self._rounded(chunk, share)
            symbols[at] = codes.add_(self.half).to(torch.uint8).numpy()
        parts = {"codes": symbols, **Fp16Scales().quantize(fp16_scales(widest))}
        return Quantized(tuple(weight.shape), parts)

    def shared_clip(self, weight: Tensor) -> float:
        """
        Search for one share of magnitudes to clip all rows at.

        Args:
            weight: Floating point, any shape, finite.

        Returns:
            The mean over the rows of what gives each the least squared error, for
            ``quantize``.

        Raises:
            UsageError: A weight is not finite.

        Source: parameter-golf pull request 1123, which has it off.

        """
        shape = matrix_shape(weight.shape)
        best = torch.ones(shape[0])
        for at, chunk in finite_chunks(weight, shape):
            least = chunk.new_full((len(chunk),), math.inf)
            for share in CLIP_SHARES:
                codes, widest = self._rounded(chunk, share)
                errors = (chunk - codes / self.half * widest).square().mean(dim=1)
                best[at] = torch.where(errors < least, share, best[at])
                least = torch.minimum(errors, least)
        return best.mean().item() if best.numel() else 1.0

    def _rounded(self, rows: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Return the codes of fp32 rows, and where the rows are clipped, shape ``(rows, 1)``."""
        rank, magnitudes = max(1, int(share * rows.shape[1])), rows.abs()
        if rank == rows.shape[1]:
            widest = magnitudes.amax(dim=1, keepdim=True)
        else:
            widest = magnitudes.kthvalue(rank, dim=1, keepdim=True).values
        widest = widest.clamp(min=1e-5)
        codes = (rows / widest).clamp_(-1, 1).mul_(self.half).round_()
        return codes.clamp_(-self.half, self.half - 1), widest

    def _weights(self, parts: Mapping[str, Symbols], shape: tuple[int, int]) -> Weights:
        """Return code times scale over half; exact in fp32."""
        weights = centred(parts["codes"], self.half)
        weights *= Fp16Scales().values(parts, shape=(shape[0], 1))
        weights /= np.float32(self.half)
        return weights
