"""
WaterSIC: steps that make every weight cost the loss alike, and exact error feedback.

An error E of a matrix costs about ``½ tr(G E H E')`` nats per token, with H the second
moment of what the matrix multiplies and G that of the gradients at its outputs. With
``H = L L'`` and ``G = U U'`` (L lower, U upper triangular) the entry (j, i) of
``U' E L`` is ``U[j, j] L[i, i]`` times the weight's own error and what the rows above and
the columns to the right add to it. Columns are quantized from the last to the first and
rows from the first to the last, each time correcting for what was added; so with the step
``c / (U[j, j] L[i, i])`` every weight costs ``c² / 24``, whatever its place.

Source: "WaterSIC: information-theoretically (near) optimal linear layer quantization",
arXiv 2603.04956; the output side as in YAQA, arXiv 2505.22988; a trellis down each
column, which leaves the feedback among columns exact, is our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.quantize.grids.lattice import MAX_RADIUS, Lattice
from artpack.quantize.matrix_view import finite_matrix
from artpack.quantize.rounding.column_sweep import ColumnSweep
from artpack.quantize.rounding.low_rate import adapt
from artpack.quantize.rounding.reach import coarser
from artpack.stages import ConfiguredStage
from artpack.stages.symbols import Quantized
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

Doubles = NDArray[np.float64]

TINY = 1e-30
"""Keeps the factors of tensors that nothing depends on positive."""

LOST_BITS, LOST_SHARE = 256, 0.02
"""A larger radius costs a second symbol a code: it must save so many bits, and so much error."""

MAX_SPREAD_OCTAVES = 8.0
"""Steps of rows, and of columns, differ from their geometric mean by at most so much."""


@dataclass(frozen=True, eq=False)
class Metric:
    """
    What errors of one tensor cost, and the steps that follow from it.

    Attributes:
        cols: float64 ``(cols, cols)``, lower triangular with a diagonal of 1: an error in
            column i shifts the target of column j < i by ``cols[i, j]`` times itself; None if
            columns are independent.
        rows: float64 ``(rows, rows)``, upper triangular with a diagonal of 1, the same for
            an error in row i and the targets of rows j > i; None if rows are independent.
        row_log2_steps: float64 ``(rows,)``: logarithms to base 2 of the steps of rows, mean 0.
        col_log2_steps: float64 ``(cols,)``: of columns, mean 0.
        log2_step: Logarithm of the geometric mean of all steps at which a weight costs
            1 / 24 nat.
    """

    cols: Doubles | None
    rows: Doubles | None
    row_log2_steps: Doubles
    col_log2_steps: Doubles
    log2_step: float


@dataclass(frozen=True)
class WaterSic(ConfiguredStage):
    """
    Error feedback among columns and rows, with steps that make all weights cost alike.

    Attributes:
        damping: Share of the mean of the diagonal of H that is added to it.
        output_damping: The same of G. It is large: G and H belong together token by token,
            and by how much is not in either.
        row_exponent: Power of the information of rows where nothing else is known of G.
        bias_weight: What costs more bits than it is worth is not stored whole: how much more
            that loses than noise of the same size does. 0 to store all weights whole.
    """

    stage_id: ClassVar[str] = "watersic"
    damping: float = 1e-2
    output_damping: float = 0.3
    row_exponent: float = 0.5
    bias_weight: float = 5.0

    def __post_init__(self) -> None:
        for name in ("damping", "output_damping"):
            if not getattr(self, name) > 0:
                raise UsageError(f"watersic: {name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.bias_weight < math.inf:
            raise UsageError(f"watersic: bias_weight must be 0 or more, got {self.bias_weight}")
        if not 0 <= self.row_exponent <= 1:
            raise UsageError(f"watersic: row_exponent must be 0 to 1, got {self.row_exponent}")

    def metric(
        self, shape: tuple[int, int], hessian: Tensor | None, gradients: Tensor | None
    ) -> Metric:
        """
        Factor what is known of a tensor.

        Args:
            shape: Rows and columns.
            hessian: Mean of ``x x'``, shape ``(cols, cols)``; None if nothing is known.
            gradients: Mean of ``g g'`` at the outputs, shape ``(rows, rows)``, or of their
                squares alone, ``(rows,)``; None if nothing is known.

        Returns:
            The metric.

        Raises:
            UsageError: The Hessian or the gradients' moments are not positive definite.

        """
        return _factored(*self._moments(shape, hessian, gradients))

    def adapted(
        self, weight: Tensor, hessian: Tensor | None, gradients: Tensor | None, log2_step: float
    ) -> tuple[Tensor, Metric]:
        """
        Choose what of a tensor is quantized, and by which metric, see :func:`adapt`.

        Args:
            weight: Floating point, finite, ``(rows, cols)`` as a matrix, not empty.
            hessian: As for :meth:`metric`.
            gradients: Likewise.
            log2_step: Logarithm to base 2 of c: a weight may cost ``c² / 24`` nats.

        Returns:
            The target, float32 of the tensor's shape, and the metric.

        Raises:
            UsageError: As by :meth:`metric`; or a weight is not finite.

        """
        matrix = finite_matrix(weight)
        rows, cols = self._moments((len(matrix), matrix.shape[1]), hessian, gradients)
        found = adapt(matrix, rows, cols, 4.0**log2_step / 12, self.bias_weight)
        return found.target.reshape(weight.shape), _factored(found.rows, found.cols)

    def _moments(
        self, shape: tuple[int, int], hessian: Tensor | None, gradients: Tensor | None
    ) -> tuple[Doubles, Doubles]:
        """Return what errors of rows and of columns cost, matrices or their diagonals."""
        rows, cols = shape
        across = np.ones(cols) if hessian is None else _damped(hessian, self.damping)
        if gradients is not None and gradients.ndim == 2:
            return _damped(gradients, self.output_damping), across
        information = torch.ones(rows) if gradients is None else gradients
        return self._row_factors(information) ** 2, across

    def _row_factors(self, information: Tensor) -> Doubles:
        """Return square roots of the information, drawn towards their mean."""
        squares = information.double().numpy()
        mean = squares.sum() / max(1, squares.size) + TINY
        drawn: Doubles = np.sqrt(mean) * (squares / mean + self.damping) ** (self.row_exponent / 2)
        return drawn


def widen(weight: Tensor, metric: Metric, log2_step: float, lattice: Lattice) -> Lattice:
    """
    Give a lattice a radius that reaches the weights, if coarser steps would cost more.

    Args:
        weight: Floating point, finite, ``(rows, cols)`` as a matrix.
        metric: What its errors cost.
        log2_step: Logarithm to base 2 of the geometric mean of all steps.
        lattice: What it is to be stored as.

    Returns:
        The lattice, perhaps with a larger radius.

    Raises:
        UsageError: A weight is not finite.

    """
    columns = np.ascontiguousarray(finite_matrix(weight).T.numpy())
    rows = metric.row_log2_steps + log2_step
    while lattice.radius < MAX_RADIUS and columns.size:
        excess = coarser(columns, metric.col_log2_steps, rows, lattice)
        if excess < 1 + LOST_SHARE or columns.size * np.log2(excess) < 2 * LOST_BITS:
            break
        lattice = replace(lattice, radius=min(2 * lattice.radius + 1, MAX_RADIUS))
    return lattice


def solve(weight: Tensor, metric: Metric, log2_step: float, lattice: Lattice) -> Quantized:
    """
    Quantize a tensor with error feedback.

    Args:
        weight: Floating point, finite, ``(rows, cols)`` as a matrix.
        metric: What its errors cost.
        log2_step: Logarithm to base 2 of the geometric mean of all steps. Columns and rows
            whose weights the radius would not reach have larger ones.
        lattice: What it is stored as. Codes beyond its radius are clipped.

    Returns:
        The parts.

    Raises:
        UsageError: A weight is not finite, or too large, or rows differ too much in size.

    """
    if not weight.numel():
        return lattice.quantize(weight)
    sweep = ColumnSweep(weight, metric, log2_step, lattice)
    sweep.quantize(0)
    return sweep.quantized


def _factored(rows: Doubles, cols: Doubles) -> Metric:
    """Factor what errors of rows and of columns cost."""
    lower, col_diagonal = _triangle(cols)
    upper, row_diagonal = _triangle(np.flip(rows))
    row_diagonal = np.flip(row_diagonal)
    row_log2_steps, col_log2_steps = -np.log2(row_diagonal), -np.log2(col_diagonal)
    return Metric(
        cols=lower,
        rows=None if upper is None else np.flip(upper),
        row_log2_steps=_centred(row_log2_steps),
        col_log2_steps=_centred(col_log2_steps),
        log2_step=float(row_log2_steps.mean() + col_log2_steps.mean())
        if row_diagonal.size and col_diagonal.size
        else 0.0,
    )


def _damped(moments: Tensor, damping: float) -> Doubles:
    damped = moments.to(torch.float64, copy=True)
    damped.diagonal().add_(damping * damped.diagonal().mean() + TINY)
    array: Doubles = damped.numpy()
    return array


def _triangle(moments: Doubles) -> tuple[Doubles | None, Doubles]:
    """Return the lower triangular factor with a diagonal of 1, if there is one, and what it was."""
    if moments.ndim == 1:
        return None, np.sqrt(moments)
    lower = _cholesky(moments)
    return lower, _divide_by_diagonal(lower)


def _cholesky(moments: Doubles) -> Doubles:
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(moments.copy()))
    if failed or not factor.isfinite().all():
        raise UsageError(
            "its second moments are not positive definite even where they are damped:"
            " collect the calibration again"
        )
    lower: Doubles = factor.numpy()
    return lower


def _divide_by_diagonal(factor: Doubles) -> Doubles:
    """Divide each column by its element of the diagonal, in place; return the diagonal."""
    diagonal = factor.diagonal().copy()
    factor /= diagonal
    return diagonal


def _centred(log2_step: Doubles) -> Doubles:
    """Subtract the mean, after taking in what lies too far from the middle."""
    middle = np.median(log2_step) if log2_step.size else 0.0
    near: Doubles = log2_step.clip(middle - MAX_SPREAD_OCTAVES, middle + MAX_SPREAD_OCTAVES)
    return near - near.mean() if near.size else near
