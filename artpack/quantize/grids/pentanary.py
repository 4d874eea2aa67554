"""Five levels with thresholds at multiples of the row's mean magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from artpack.quantize.grids.checked_grid import CheckedGrid, Weights, centred
from artpack.quantize.matrix_view import finite_chunks, matrix_shape, steady_sum
from artpack.quantize.scales import Fp16Scales, fp16_scales
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

LOW, HIGH = 0.7, 1.4
"""Magnitudes above these multiples of the row's mean become 1 and 2."""


@dataclass(frozen=True)
class RowPentanary(CheckedGrid):
    """
    Codes from -2 to 2 by two thresholds, and the row's least-squares scale for them.

    The sums are fp32 in torch's own order, because that is what the original
    does: another build of torch may change the last bit of one, and about one
    such change in eight thousand reaches the fp16 scale.

    Source: parameter-golf pull request 1123, its five-level layers.

    """

    stage_id: ClassVar[str] = "row-pentanary"

    @property
    def label(self) -> str:
        """``pentanary``."""
        return "pentanary"

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return ``codes``, of alphabet 5, ``scales.0`` and ``scales.1``."""
        rows, cols = matrix_shape(shape)
        return PartSpec("codes", rows, cols, 5), *Fp16Scales().parts(rows, 1)

    def quantize(self, weight: Tensor) -> Quantized:
        """
        Choose each weight's level, and each row's scale.

        Args:
            weight: Floating point, any shape, finite.

        Returns:
            Codes plus 2, and the scales; 0 for a row of zeros.

        Raises:
            UsageError: A weight is not finite, or a scale too large for fp16.

        """
        shape = matrix_shape(weight.shape)
        symbols = np.empty(shape, np.uint8)
        scales = torch.zeros(shape[0], 1)
        for at, chunk in finite_chunks(weight, shape):
            magnitudes = chunk.abs()
            means = steady_sum(magnitudes) / shape[1]
            mean = means.unsqueeze(1)
            levels = (magnitudes > LOW * mean).float() + (magnitudes > HIGH * mean).float()
            codes = chunk.sign() * levels
            squares = steady_sum(codes.square()).clamp(min=1e-8)
            fit = steady_sum(chunk * codes) / squares
            # Nothing is above an infinite mean: codes and fit are 0, and it must be an error.
            scales[at, 0] = torch.where(means.isinf(), means, fit)
            symbols[at] = codes.add_(2).to(torch.uint8).numpy()
        parts = {"codes": symbols, **Fp16Scales().quantize(fp16_scales(scales))}
        return Quantized(tuple(weight.shape), parts)

    def _weights(self, parts: Mapping[str, Symbols], shape: tuple[int, int]) -> Weights:
        """Return code times scale."""
        weights = centred(parts["codes"], 2)
        weights *= Fp16Scales().values(parts, shape=(shape[0], 1))
        return weights
