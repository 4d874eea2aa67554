"""
A matrix that is quantized column by column, from the last to the first, in as many goes as asked.

Between two goes the columns that are left may be changed by somebody else. What the
quantized ones cost is then given to them as a new beginning: the weights that would be best if
nothing had to be rounded any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.matrix_view import finite_matrix
from artpack.quantize.rounding.reach import col_scales, row_scales
from artpack.quantize.trellis.lockstep import LANES
from artpack.quantize.trellis.viterbi import search, search_columns

if TYPE_CHECKING:
    from torch import Tensor

    from artpack.quantize.grids.lattice import Lattice
    from artpack.quantize.rounding.watersic import Metric
    from artpack.stages.symbols import Quantized

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

BLOCK = 64
"""Columns whose errors are fed back one by one; those further left get them together."""


class Directions(NamedTuple):
    """
    Changes of the columns that are left, of which each costs alike and none costs another.

    A change ``u`` of shape ``(rows, free)`` stands for the weights' change
    ``rows @ (u * steps) @ cols``.

    Attributes:
        rows: float32 ``(rows, rows)``, lower triangular; None if rows are independent.
        steps: float32 ``(rows, free)``: the steps of the weights.
        cols: float32 ``(free, free)``, lower triangular; None if columns are independent.
    """

    rows: Floats | None
    steps: Floats
    cols: Floats | None


class ColumnSweep:
    """
    A matrix of which the last columns are quantized.

    Args:
        weight: Floating point, finite, ``(rows, cols)`` as a matrix, not empty.
        metric: What its errors cost.
        log2_step: Logarithm to base 2 of the geometric mean of all steps.
        lattice: What it is stored as. Codes beyond its radius are clipped.

    Attributes:
        lattice: The same.
        free: How many columns, the first ones, are not quantized yet.

    Raises:
        UsageError: A weight is not finite, or too large, or rows differ too much in size.
    """

    def __init__(
        self,
        weight: Tensor,
        metric: Metric,
        log2_step: float,
        lattice: Lattice,
    ) -> None:
        self.lattice, self._metric, self._shape = lattice, metric, tuple(weight.shape)
        # An array of its own: changes of it must not reach the checkpoint.
        self._columns: Floats = np.array(finite_matrix(weight).T.numpy(), np.float32, order="C")
        row_log2_steps = metric.row_log2_steps + log2_step
        self._cols = col_scales(self._columns, metric.col_log2_steps, row_log2_steps, lattice)
        self._rows = row_scales(self._columns, row_log2_steps, self._cols, lattice)
        self._row_steps, self._col_steps = (
            np.exp2(scales / lattice.resolution) for scales in (self._rows, self._cols)
        )
        self._points = np.zeros(self._columns.shape, np.int32)
        self.free = len(self._columns)

    def quantize(self, free: int) -> None:
        """
        Quantize more columns, and move what is left to where that costs least.

        Args:
            free: How many columns are to be left, at most as many as now.

        """
        low, high, steps = free, self.free, self._steps(free, self.free)
        before = self._columns[low:high].copy()
        if self._metric.cols is None and self._metric.rows is None:
            self._round(low, high)
        else:
            self._feed_back(low, high)
        self._columns[low:high] = self._points[low:high] * steps
        self.free = free
        if free and self._metric.cols is not None:
            lower, errors = self._metric.cols, before - self._points[low:high] * steps
            owed = lower[low:high, :free].T @ errors
            self._columns[:free] += np.linalg.solve(lower[:free, :free].T, owed)

    @property
    def weight(self) -> Floats:
        """The matrix as it is now, float32 ``(rows, cols)``."""
        return np.ascontiguousarray(self._columns.T)

    def change(self, left: Floats) -> None:
        """
        Put others in the place of the columns that are left.

        Args:
            left: float32 ``(rows, free)``.

        """
        self._columns[: self.free] = left.T

    @property
    def state(self) -> tuple[Floats, NDArray[np.int32]]:
        """The columns that are left, float32 ``(free, rows)``, and the points of the others."""
        return self._columns[: self.free], self._points[self.free :]

    def restore(self, left: Floats, points: NDArray[np.int32]) -> None:
        """
        Go on from a state of the same matrix.

        Args:
            left: As :attr:`state` has it.
            points: Likewise.

        """
        self.free = len(left)
        self._columns[: self.free], self._points[self.free :] = left, points
        self._columns[self.free :] = points * self._steps(self.free, len(self._columns))

    def directions(self) -> Directions:
        """Return in which directions the columns that are left may be changed independently."""
        rows, cols = self._metric.rows, self._metric.cols
        return Directions(
            None if rows is None else np.linalg.inv(rows.T).astype(np.float32),
            np.ascontiguousarray(self._steps(0, self.free).T, np.float32),
            None
            if cols is None
            else np.linalg.inv(cols[: self.free, : self.free]).astype(np.float32),
        )

    @property
    def quantized(self) -> Quantized:
        """The parts, once no columns are left."""
        assert not self.free
        points = np.ascontiguousarray(self._points.T)
        return self.lattice.pack(self._shape, points, self._rows, self._cols)

    def _steps(self, low: int, high: int) -> Doubles:
        """Return the steps of some columns' weights, ``(high - low, rows)``."""
        steps: Doubles = self._row_steps * self._col_steps[low:high, None]
        return steps

    def _round(self, low: int, high: int) -> None:
        """Choose the points of columns whose errors shift the target of no other weight."""
        for start in range(low, high, LANES):
            some = slice(start, min(start + LANES, high))
            aims = self._columns[some] / self._steps(some.start, some.stop)
            lanes = aims.astype(np.float32).T
            self._points[some] = search_columns(lanes, self.lattice.states, self.lattice.radius).T

    def _feed_back(self, low: int, high: int) -> None:
        """Choose the points of columns, the last one's first."""
        from artpack.quantize.trellis.noise_shaping import into_tiles  # noqa: PLC0415 - imports numba

        rows, columns = self._metric.rows, self._columns
        tiles = None if rows is None else into_tiles(_spread(rows, self._row_steps))
        lower = np.eye(len(columns)) if self._metric.cols is None else self._metric.cols
        targets = columns[:high].astype(np.float64)
        for end in range(high, low, -BLOCK):
            start = max(low, end - BLOCK)
            errors = np.zeros((end - start, len(self._row_steps)))
            for col in range(end - 1, start - 1, -1):
                steps = self._row_steps * self._col_steps[col]
                fed_back = lower[col + 1 : end, col] @ errors[col + 1 - start :]
                aims = (targets[col] + fed_back) / steps
                self._points[col] = _search(aims.astype(np.float32), tiles, self.lattice)
                errors[col - start] = columns[col] - self._points[col] * steps
            targets[low:start] += lower[start:end, low:start].T @ errors


def _spread(shaping: Doubles, steps: Doubles) -> NDArray[np.float32]:
    """Return what an error adds to the rows below it, both in steps of their own."""
    spread = np.zeros(shaping.shape, np.float32)
    for row, into in enumerate(spread):
        into[row + 1 :] = shaping[row, row + 1 :] * (steps[row] / steps[row + 1 :])
    return spread


def _search(
    aims: NDArray[np.float32], tiles: NDArray[np.float32] | None, lattice: Lattice
) -> NDArray[np.int32]:
    if tiles is None:
        return search(aims, lattice.states, lattice.radius)
    from artpack.quantize.trellis.noise_shaping import search_shaped  # noqa: PLC0415 - imports numba

    return search_shaped(aims, tiles, lattice.states, lattice.radius)
