"""The error of one quantized tensor, in numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artpack.quantize.grids.low_rank import LowRank
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.matrix_view import finite_matrix, row_chunks
from artpack.stages import JsonValue, Quantizer
from artpack.stages.symbols import Quantized

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Report:
    """
    How far a quantized tensor is from its weights.

    Attributes:
        mean_squared_error: Of the weights.
        relative_error: Norm of the error over that of the weights; 0 for zeros.
        clipped_share: Share of weights beyond the outermost level by more than half a step.
        median_step: Of the rows; 0 where the grid has no step a row.
        dead_columns: Columns that no calibration token ever excited.
        weighted_error: ``tr((W - Ŵ) H (W - Ŵ)')`` with the Hessian ``H``; None without one.
        bound_bits: Bits a weight that Gaussian weights would need at this distortion, see
            :func:`~artpack.quantize.bound.bound_bits`; None without ``weighted_error``, and
            where it was not computed.
        notes: What was done that was not asked for, one line each.
    """

    mean_squared_error: float
    relative_error: float
    clipped_share: float
    median_step: float
    dead_columns: int
    weighted_error: float | None = None
    bound_bits: float | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> list[JsonValue]:
        """
        Return the numbers in the few bytes that an artifact's provenance has for them.

        Returns:
            The fields in order without the notes, each number but the count as
            thousandths of its decimal logarithm, rounded, and 0 as None; the last two
            are left out if they are None.

        >>> Report(0.001, 0.012, 0.0, 0.5, 3, 20.0).to_json()
        [-3000, -1921, None, -301, 3, 1301]
        >>> Report.from_json([-3000, -1921, None, -301, 3]).median_step
        0.5
        >>> Report.from_json([-3000, -1921, None, -301, 3, 1301, 342]).bound_bits
        2.2

        """
        rest = [_pack(n) for n in (self.weighted_error, self.bound_bits) if n is not None]
        numbers = (
            self.mean_squared_error,
            self.relative_error,
            self.clipped_share,
            self.median_step,
        )
        return [*map(_pack, numbers), self.dead_columns, *rest]

    @classmethod
    def from_json(cls, values: JsonValue) -> Report | None:
        """
        Read what :meth:`to_json` made, to three significant digits.

        Args:
            values: That, or what a stranger put in its place.

        Returns:
            The report without notes; None if there is none there.

        """
        if not isinstance(values, list) or len(values) not in (5, 6, 7):
            return None
        numbers = [_unpack(value) for value in values]
        if None in numbers or type(values[4]) is not int:
            return None
        squared, relative, clipped, step, _, *rest = (number or 0.0 for number in numbers)
        weighted, bound = (*rest, None, None)[:2]
        return cls(squared, relative, clipped, step, values[4], weighted, bound)


def measure(
    weight: Tensor, quantizer: Quantizer, quantized: Quantized, hessian: Tensor | None
) -> Report:
    """
    Compare a quantized tensor with its weights.

    Args:
        weight: Floating point, any shape.
        quantizer: What gives the weights back.
        quantized: The symbols.
        hessian: Mean of ``x x'`` over tokens, shape ``(cols, cols)``, if it is known.

    Returns:
        The report, without notes.

    """
    matrix = finite_matrix(weight)
    back = quantizer.dequantize(quantized).reshape(matrix.shape)
    curvature = None if hessian is None else hessian.cpu().double()
    squared = norm = weighted = 0.0
    for at in row_chunks((matrix.shape[0], matrix.shape[1])):
        rows = matrix[at].double()
        error = rows - back[at].double()
        squared += error.square().sum().item()
        norm += rows.square().sum().item()
        if curvature is not None:
            weighted += ((error @ curvature) * error).sum().item()
    clipped, step = _clipping(matrix, quantizer, quantized)
    return Report(
        mean_squared_error=squared / max(1, matrix.numel()),
        relative_error=math.sqrt(squared / norm) if norm else 0.0,
        clipped_share=clipped,
        median_step=step,
        dead_columns=0 if curvature is None else int((curvature.diagonal() == 0).sum()),
        # Below zero only where the Hessian is no second moment, or by rounding.
        weighted_error=None if curvature is None else max(0.0, weighted),
    )


def _clipping(matrix: Tensor, quantizer: Quantizer, quantized: Quantized) -> tuple[float, float]:
    """Return the share of clipped weights and the median step; 0 where there are no row steps."""
    row_int = quantizer.inner if isinstance(quantizer, LowRank) else quantizer
    if not isinstance(row_int, RowInt) or not matrix.numel():
        return 0.0, 0.0
    steps = row_int.stored_steps(quantized)
    clipped = (matrix.abs() > (row_int.radius + 0.5) * steps).sum().item()
    return clipped / matrix.numel(), steps.median().item()


def _pack(number: float) -> int | None:
    return round(1000 * math.log10(number)) if number > 0 else None


def _unpack(value: JsonValue) -> float | None:
    """Return a number to three digits, or None if it is none."""
    if value is None:
        return 0.0
    if type(value) is not int or abs(value) > 300_000:
        return None
    return float(f"{10 ** (value / 1000):.3g}")
