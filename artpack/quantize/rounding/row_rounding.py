"""Rounding of a matrix in given steps: to the nearest code, or with data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

from artpack.errors import UsageError
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.matrix_view import finite_matrix
from artpack.quantize.rounding.gptq import Gptq, gptq
from artpack.quantize.rounding.inverse import NotPositiveDefiniteError
from artpack.quantize.rounding.steps import (
    RefinedSteps,
    RowGrid,
    RowPercentiles,
    Steps,
    TensorPercentile,
)
from artpack.quantize.rounding.watersic import WaterSic
from artpack.stages import ConfiguredStage, Table, by_id
from artpack.stages.symbols import Quantized
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Nearest(ConfiguredStage):
    """Every weight to its nearest code, half to even."""

    stage_id: ClassVar[str] = "nearest"


Rounding: TypeAlias = Nearest | Gptq | WaterSic
ROUNDINGS: Table[Rounding] = by_id((Nearest, Gptq, WaterSic))


@dataclass(frozen=True)
class RowRounding:
    """
    How a matrix becomes symbols of row-scaled integers.

    Attributes:
        quantizer: The grid that is stored.
        steps: Where its steps come from, if not from its own clip.
        rounding: How weights become codes.
    """

    quantizer: RowInt
    steps: Steps | None = None
    rounding: Rounding = Nearest()

    def quantize(self, weight: Tensor, hessian: Tensor | None) -> tuple[Quantized, tuple[str, ...]]:
        """
        Quantize a weight tensor.

        Args:
            weight: Floating point, any shape, finite.
            hessian: Mean of ``x x'`` over tokens, shape ``(cols, cols)``, on the device to
                compute on; needed by GPTQ.

        Returns:
            The symbols, and notes of what was done that was not asked for.

        Raises:
            UsageError: A weight is not finite, a step too large for fp16, or the
                Hessian missing or unusable.

        """
        grid = self._grid(weight)
        notes: tuple[str, ...] = ()
        if isinstance(self.rounding, Gptq) and grid.rows.numel():
            grid, codes, notes = round_with_data(grid, hessian, self.rounding, self.steps)
        else:
            codes = grid.nearest()
        symbols = codes.add_(grid.radius).to("cpu", torch.uint8).numpy()
        scales = self.quantizer.scales.quantize(grid.stored)
        parts = {"codes": np.ascontiguousarray(symbols), **scales}
        return Quantized(tuple(weight.shape), parts), notes

    def _grid(self, weight: Tensor) -> RowGrid:
        rows = finite_matrix(weight)
        if self.steps is not None:
            return self.steps.grid(rows, radius=self.quantizer.radius)
        stored = self.quantizer.steps(weight)
        scales = self.quantizer.scales
        seen = torch.from_numpy(scales.values(scales.quantize(stored), shape=(len(rows), 1)))
        return RowGrid(rows, seen, stored, self.quantizer.radius)


def round_with_data(
    grid: RowGrid, hessian: Tensor | None, options: Gptq, steps: Steps | None = None
) -> tuple[RowGrid, Tensor, tuple[str, ...]]:
    """
    Round rows with GPTQ, or where that fails as the options say.

    Args:
        grid: The rows, and what to round them with.
        hessian: Symmetric, shape ``(cols, cols)``; None if there is none.
        options: How.
        steps: Where the grid comes from: its percentiles count for another one.

    Returns:
        The grid, perhaps another; the codes, whole fp32 numbers, shape ``(rows, cols)``;
        and notes of what was done that was not asked for.

    Raises:
        UsageError: The Hessian is missing or unusable, and there is no other way.

    """
    # PR 576 takes a Hessian of another size for none.
    misfit = options.form == "inverse" and hessian is not None and len(hessian) != _cols(grid)
    if hessian is None or misfit:
        other = _without_hessian(grid, options, steps)
        return other, other.nearest(), ("rounded without a Hessian: there is none",)
    try:
        codes, damping = gptq(grid, hessian, options)
    except NotPositiveDefiniteError as error:
        fallback = _without_inverse(grid, hessian, options, steps)
        if fallback is None:
            raise
        return fallback, fallback.nearest(), (f"rounded without a Hessian: {error}",)
    if damping == options.damping:
        return grid, codes, ()
    note = f"damping raised from {options.damping:g} to {damping:g}: GPTQ failed below"
    return grid, codes, (note,)


def _without_hessian(grid: RowGrid, options: Gptq, steps: Steps | None) -> RowGrid:
    """Return the grid of a matrix that has no Hessian."""
    if options.form == "inverse":
        searched = _searched(steps)
        by_tensor = TensorPercentile(searched.floor, percentiles=searched.percentiles)
        return by_tensor.grid(grid.rows, radius=grid.radius)
    if not options.refinements:
        raise UsageError("the calibration has no Hessian for it: give it another rounding")
    return _refined(grid, options, options.refinements, steps)


def _without_inverse(
    grid: RowGrid, hessian: Tensor, options: Gptq, steps: Steps | None
) -> RowGrid | None:
    """Return the grid of a matrix whose Hessian has no inverse; None if that is an error."""
    if options.form == "inverse":
        return grid  # errors over the diagonal alone reach no other column
    if not options.refinements:
        return None
    live = replace(grid, rows=grid.rows.masked_fill(hessian.diagonal() == 0, 0))
    return _refined(live, options, 1, steps)


def _refined(grid: RowGrid, options: Gptq, refinements: int, steps: Steps | None) -> RowGrid:
    searched = _searched(steps)
    refined = RefinedSteps(searched.floor, refinements, options.damping, searched.percentiles)
    return refined.grid(grid.rows, radius=grid.radius)


def _searched(steps: Steps | None) -> RowPercentiles:
    return steps if isinstance(steps, RowPercentiles) else RowPercentiles()


def _cols(grid: RowGrid) -> int:
    return grid.rows.shape[1]
