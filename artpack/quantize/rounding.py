"""From a matrix and its steps to symbols: to the nearest code, or with data."""

from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.gptq import Gptq, gptq
from artpack.quantize.inverse import NotPositiveDefiniteError
from artpack.quantize.row_int import RowInt
from artpack.quantize.steps import RefinedSteps, RowGrid, RowPercentiles, Steps
from artpack.quantize.watersic import WaterSic
from artpack.quantize.weights import finite_matrix
from artpack.stages import ConfiguredStage, Table, by_id
from artpack.symbols import Quantized


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
            grid, codes, notes = self._with_data(grid, hessian, self.rounding)
        else:
            codes = grid.nearest()
        symbols = codes.add_(grid.radius).to("cpu", torch.uint8).numpy()
        scales = self.quantizer.scales.quantize(grid.stored)
        parts = {"codes": np.ascontiguousarray(symbols), **scales}
        return Quantized(tuple(weight.shape), parts), notes

    def _with_data(
        self, grid: RowGrid, hessian: Tensor | None, options: Gptq
    ) -> tuple[RowGrid, Tensor, tuple[str, ...]]:
        if hessian is None:
            if not options.refinements:
                raise UsageError("the calibration has no Hessian for it: give it another rounding")
            refined = self._refined(grid, options, options.refinements)
            return refined, refined.nearest(), ("rounded without a Hessian: there is none",)
        try:
            codes, damping = gptq(grid, hessian, options)
        except NotPositiveDefiniteError as error:
            if not options.refinements:
                raise
            live = replace(grid, rows=grid.rows.masked_fill(hessian.diagonal() == 0, 0))
            refined = self._refined(live, options, 1)
            return refined, refined.nearest(), (f"rounded without a Hessian: {error}",)
        if damping == options.damping:
            return grid, codes, ()
        note = f"damping raised from {options.damping:g} to {damping:g}: GPTQ failed below"
        return grid, codes, (note,)

    def _refined(self, grid: RowGrid, options: Gptq, refinements: int) -> RowGrid:
        searched = self.steps if isinstance(self.steps, RowPercentiles) else RowPercentiles()
        steps = RefinedSteps(searched.floor, refinements, options.damping, searched.percentiles)
        return steps.grid(grid.rows, radius=grid.radius)

    def _grid(self, weight: Tensor) -> RowGrid:
        rows = finite_matrix(weight)
        if self.steps is not None:
            return self.steps.grid(rows, radius=self.quantizer.radius)
        stored = self.quantizer.steps(weight)
        scales = self.quantizer.scales
        seen = scales.dequantize(scales.quantize(stored), shape=(len(rows), 1))
        return RowGrid(rows, seen, stored, self.quantizer.radius)
