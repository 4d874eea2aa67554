"""Ternary and quinary weights with one scale a group of consecutive columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from artpack.errors import CorruptError, UsageError
from artpack.quantize.grids.checked_grid import CheckedGrid, Weights, centred
from artpack.quantize.matrix_view import finite_chunks, matrix_shape, row_chunks, steady_sum
from artpack.quantize.scales import SCALES, Fp16Scales, Scales, fp16_scales
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

LABELS = {1: "ternary", 2: "quinary"}


@dataclass(frozen=True)
class GroupLevels(CheckedGrid):
    """
    Each weight as a whole number of its group's mean magnitude.

    Dequantizing divides a group's scale by the mean magnitude of its codes, so
    that a model which quantizes its weights again in every forward pass finds
    the same scale and the same codes.

    The means are fp32 in torch's own order of summation, because that is what
    the original does: another build of torch may change the last bit of a mean,
    and about one such change in eight thousand reaches the fp16 scale.

    Attributes:
        radius: The outermost code: 1 for ternary, 2 for quinary.
        group: Columns that share a scale, 1 to 65536. The last group of a
            row counts as filled up with zeros, which are not stored.
        scales: How the scales are stored. Weights are rounded with scales of fp16, or fp32.

    Source: parameter-golf pull request 2086, its export.

    """

    stage_id: ClassVar[str] = "group-absmean"
    radius: int
    group: int
    scales: Scales = field(default_factory=Fp16Scales, metadata={"table": SCALES})

    def __post_init__(self) -> None:
        if self.radius not in LABELS:
            raise UsageError(f"group-absmean: radius must be 1 or 2, got {self.radius}")
        # Up to here fp32 adds up the codes of a group exactly.
        if not 1 <= self.group <= 1 << 16:
            raise UsageError(f"group-absmean: group must be 1 to 65536, got {self.group}")

    @property
    def label(self) -> str:
        """``ternary`` or ``quinary``."""
        return LABELS[self.radius]

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return ``codes``, of alphabet ``2 * radius + 1``, and the parts of the scales."""
        rows, cols = matrix_shape(shape)
        codes = PartSpec("codes", rows, cols, 2 * self.radius + 1)
        return codes, *self.scales.parts(*self._scale_shape(rows, cols))

    def quantize(self, weight: Tensor, *, zero_scales: bool = False) -> Quantized:
        """
        Round a weight tensor to its groups' mean magnitudes, half to even.

        Args:
            weight: Floating point, any shape, finite.
            zero_scales: As published by PR 2086: a group too small for fp16 has the scale 0
                instead of the smallest of the others, and what is not zero in it gets
                outermost codes.

        Returns:
            Codes plus radius, and the scales.

        Raises:
            UsageError: A weight is not finite, or a scale too large for fp16.

        """
        shape = matrix_shape(weight.shape)
        means = self.means(weight)
        scales = fp16_scales(means.clamp(min=1e-8)) if zero_scales else self.scales.rounded(means)
        symbols = np.empty(shape, np.uint8)
        for at, chunk in finite_chunks(weight, shape, padded_cols=means.shape[1] * self.group):
            codes = (_grouped(chunk, self.group) / scales[at].float().unsqueeze(2)).round_()
            # Nothing over nothing is no number: such a weight is zero.
            codes = codes.nan_to_num_(nan=0.0).clamp_(-self.radius, self.radius)
            codes = codes.add_(self.radius).flatten(1)[:, : shape[1]]
            symbols[at] = codes.to(torch.uint8).numpy()
        return Quantized(tuple(weight.shape), {"codes": symbols, **self.scales.quantize(scales)})

    def means(self, weight: Tensor) -> Tensor:
        """
        Return the mean magnitude of each group.

        Args:
            weight: Floating point, any shape, finite.

        Returns:
            fp32, shape ``(rows, groups of a row)``.

        Raises:
            UsageError: A weight is not finite.

        """
        rows, cols = shape = matrix_shape(weight.shape)
        means = torch.zeros(self._scale_shape(rows, cols))
        for at, chunk in finite_chunks(weight, shape, padded_cols=means.shape[1] * self.group):
            means[at] = steady_sum(_grouped(chunk, self.group).abs()) / self.group
        return means

    def _weights(self, parts: Mapping[str, Symbols], shape: tuple[int, int]) -> Weights:
        """Return code times scale over the mean magnitude of the group's codes."""
        cols = shape[1]
        scales = self.scales.values(parts, shape=self._scale_shape(*shape))
        weights = centred(parts["codes"], self.radius)
        # Zeros add nothing to an exact sum: a wide group of few columns is not filled up.
        width = min(self.group, cols)
        for at in row_chunks(shape):
            codes = np.pad(weights[at], ((0, 0), (0, -cols % width)))
            grouped = codes.reshape(len(codes), -1, width)
            means = np.abs(grouped).sum(axis=2) / np.float32(self.group)
            levels = np.zeros_like(means)
            with np.errstate(over="ignore"):
                np.divide(scales[at], means, out=levels, where=means > 0)
            if not np.isfinite(levels).all():
                raise CorruptError("a scale is too large for the codes of its group")
            grouped *= levels[:, :, None]
            weights[at] = codes[:, :cols]
        return weights

    def _scale_shape(self, rows: int, cols: int) -> tuple[int, int]:
        return rows, -(-cols // self.group)


def _grouped(rows: Tensor, width: int) -> Tensor:
    """Return rows as (rows, groups, width), filled up with zeros."""
    return torch.nn.functional.pad(rows, (0, -rows.shape[1] % width)).reshape(len(rows), -1, width)
