"""From a matrix and its steps to symbols: to the nearest code, or with data."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.gptq import Gptq, gptq
from artpack.quantize.row_int import RowInt
from artpack.quantize.steps import RowGrid, Steps
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
        codes = grid.nearest()
        notes: tuple[str, ...] = ()
        if isinstance(self.rounding, Gptq) and codes.numel():
            codes, notes = _gptq(grid, hessian, self.rounding)
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
        seen = scales.dequantize(scales.quantize(stored), shape=(len(rows), 1))
        return RowGrid(rows, seen, stored, self.quantizer.radius)


def _gptq(grid: RowGrid, hessian: Tensor | None, options: Gptq) -> tuple[Tensor, tuple[str, ...]]:
    if hessian is None:
        raise UsageError("the calibration has no Hessian for it: give it another rounding")
    codes, damping = gptq(grid, hessian, options)
    if damping == options.damping:
        return codes, ()
    return codes, (f"damping raised from {options.damping:g} to {damping:g}: GPTQ failed below",)
