"""A grid, and a correction of small rank for what it loses (LQER)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from artpack.errors import UsageError
from artpack.quantize.grids.asym_int import RowAsymInt
from artpack.quantize.grids.checked_grid import CheckedGrid, Weights
from artpack.quantize.grids.factors import FACTORS, Factors
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.pentanary import RowPentanary
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.matrix_view import matrix_shape, row_chunks
from artpack.stages import Quantizer, Table, by_id
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

INNER: Table[Quantizer] = by_id((RowInt, GroupLevels, RowPentanary, RowAsymInt))
"""Grids that can be corrected."""


@dataclass(frozen=True)
class LowRank(CheckedGrid):
    """
    An inner grid plus a product of two thin matrices.

    Attributes:
        inner: The grid.
        rank: Columns of the left matrix, 1 to 256; fewer where the weight has
            fewer rows or columns.
        factors: How the two matrices are stored.

    Source: Zhang et al., "LQER: Low-Rank Quantization Error Reconstruction for
    LLMs", 2024; the packing is that of parameter-golf pull request 1934.

    """

    stage_id: ClassVar[str] = "low-rank"
    inner: Quantizer = field(metadata={"table": INNER})
    rank: int
    factors: Factors = field(metadata={"table": FACTORS})

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= 256:
            raise UsageError(f"low-rank: rank must be 1 to 256, got {self.rank}")

    @property
    def label(self) -> str:
        """``int6+rank4``."""
        return f"{self.inner.label}+rank{self.rank}"

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return the parts of the inner grid, then those of the factors."""
        return *self.inner.parts(shape), *self.factors.parts(*self._sizes(shape))

    def quantize(self, weight: Tensor) -> Quantized:
        """
        Quantize with the inner grid, then correct the error.

        Args:
            weight: Floating point, any shape, finite.

        Returns:
            Symbols of the inner grid and of the factors.

        Raises:
            UsageError: A weight is not finite, or does not fit the inner grid.

        """
        return self.correct(weight, self.inner.quantize(weight))

    def correct(self, weight: Tensor, quantized: Quantized) -> Quantized:
        """
        Add the correction to a weight that is quantized already, by whatever method.

        Args:
            weight: What was quantized; any shape.
            quantized: What it became in the inner grid.

        Returns:
            The same symbols, and those of the factors.

        Raises:
            UsageError: A scale of the factors is too large for fp16.

        """
        rows, rank, cols = self._sizes(quantized.shape)
        error = weight.detach().cpu().float() - self.inner.dequantize(quantized)
        left, right = principal_factors(error.reshape(rows, cols), rank)
        parts = {**quantized.parts, **self.factors.quantize(left, right)}
        return Quantized(quantized.shape, parts)

    def _weights(self, parts: Mapping[str, Symbols], shape: tuple[int, int]) -> Weights:
        """Return the inner grid's weights plus the product."""
        names = [spec.name for spec in self.inner.parts(shape)]
        assert isinstance(self.inner, CheckedGrid)
        weights = self.inner.weights(Quantized(shape, {name: parts[name] for name in names}))
        left, right = self.factors.values(parts)
        for at in row_chunks(shape):
            weights[at] += _product(left[at], right)
        return weights

    def _sizes(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return rows, rank and columns."""
        rows, cols = matrix_shape(shape)
        return rows, min(self.rank, rows, cols), cols


def principal_factors(error: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """
    Return the best approximation of a matrix by a product of two thin ones.

    The right rows are orthonormal. A pair of vectors may change sign together;
    the largest of each left one is made negative, where a grid that is not
    symmetric reaches one step further. So the result is every machine's but
    for its last bits.

    Args:
        error: fp32, shape ``(rows, cols)``.
        rank: At most the smaller of them.

    Returns:
        fp32, shapes ``(rows, rank)`` and ``(rank, cols)``.

    >>> left, right = principal_factors(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), 1)
    >>> left.tolist(), right.tolist()
    ([[-3.0], [0.0]], [[-1.0, 0.0]])

    """
    if error.numel() == 0:
        return error.new_zeros(len(error), rank), error.new_zeros(rank, error.shape[1])
    matrix = error.double()
    # The eigenvectors of the smaller Gram matrix are all that is needed of the SVD.
    if matrix.shape[0] >= matrix.shape[1]:
        right = torch.linalg.eigh(matrix.T @ matrix)[1].T.flip(0)[:rank]
        left = matrix @ right.T
    else:
        basis = torch.linalg.eigh(matrix @ matrix.T)[1].flip(1)[:, :rank]
        right = basis.T @ matrix
        lengths = right.norm(dim=1)
        left = basis * lengths
        right /= lengths.clamp(min=torch.finfo(torch.float64).tiny).unsqueeze(1)
    largest = left.gather(0, left.abs().argmax(dim=0, keepdim=True))
    signs = torch.where(largest > 0, -1.0, 1.0).double()
    return (left * signs).float() + 0.0, (right * signs.T).float() + 0.0


def _product(left: Weights, right: Weights) -> Weights:
    """
    Multiply fp32 matrices, adding up the terms in order with one rounding each.

    That is what a matrix product of this few terms does on machines that fuse
    multiplication and addition; it makes the result every machine's.
    """
    total = np.zeros((len(left), right.shape[1]), np.float32)
    for column, row in zip(left.astype(np.float64).T, right.astype(np.float64), strict=True):
        total = (total + column[:, None] * row).astype(np.float32)
    return total
