"""Expected bits of a tensor in given steps, before it is quantized."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.quantize.rounding.low_rate import best_shares

Doubles = NDArray[np.float64]

ENTROPY = 2 * math.pi * math.e
"""Two to the power of twice the entropy of a Gaussian, over its variance."""

FED_BACK = 0.05
"""Variance, in squared steps, that the errors of others add to a weight's target, about."""

TINY = torch.finfo(torch.float32).tiny
FEW = 64
"""Rows, and columns, whose sizes stand for those of all."""

NOTHING = math.log2(TINY) / 2
"""Logarithm of the size of what is 0 everywhere, or not there."""


class Sizes(NamedTuple):
    """
    Logarithms to base 2 of root mean squares.

    Attributes:
        overall: Of a matrix.
        rows: Of each row, float64 ``(rows,)``.
        cols: Of each column, float64 ``(cols,)``.
    """

    overall: float
    rows: Doubles
    cols: Doubles


def sizes_of(matrix: Tensor) -> Sizes:
    """
    Measure weights.

    Args:
        matrix: Finite, of two dimensions; of none or some rows and columns.

    Returns:
        Their sizes.

    >>> sizes_of(torch.tensor([[3.0, 5.0], [4.0, 4.0]])).rows.round(3).tolist()
    [2.044, 2.0]

    """
    squares = matrix.double().square()
    if not squares.numel():
        return Sizes(NOTHING, np.empty(0), np.empty(0))
    rows, cols = (squares.mean(dim).add(TINY).log2().numpy() / 2 for dim in (1, 0))
    return Sizes(math.log2(squares.mean().item() + TINY) / 2, rows, cols)


@dataclass(frozen=True, eq=False)
class Rate:
    """
    Bits of a tensor as a function of the frontier's constant.

    Attributes:
        sizes: Of its weights.
        row_log2_steps: Logarithms of the steps of rows, their mean 0.
        col_log2_steps: Of columns.
        offset: Logarithm to base 2 of how much larger its steps are than the constant.
        shaped: Whether errors are fed back to the targets of other weights.
        bias_weight: As :class:`~artpack.quantize.rounding.watersic.WaterSic` has it; 0 where all
            weights are stored whole.
    """

    sizes: Sizes
    row_log2_steps: Doubles
    col_log2_steps: Doubles
    offset: float
    shaped: bool
    bias_weight: float = 0.0

    def bits(self, log2_step: float) -> float:
        """
        Estimate the bits of all weights together, to a few hundredths.

        A Gaussian of standard deviation s in steps d has an entropy of
        ``½ log2(2 pi e s² / d²)`` where steps are fine, and of about what this is with 1 more
        under the logarithm down to half a bit; so it is on a trellis. What is fed back adds to
        the variance. Rows and columns are taken to have spreads of their own.

        Args:
            log2_step: Logarithm of the constant to base 2.

        Returns:
            Bits, scales not counted.

        """
        rows, cols = self._spreads
        squares = np.exp2(2 * (rows - log2_step))[:, None] * np.exp2(2 * cols)
        weights = len(self.sizes.rows) * len(self.sizes.cols)
        if self.bias_weight:
            ratios, shares, finer = best_shares(self.bias_weight)
            octaves = -np.log2(12 * squares + TINY)
            squares *= np.interp(octaves, ratios, shares) ** 2
            squares *= np.exp2(np.interp(octaves, ratios, finer))
        if self.shaped:
            squares += FED_BACK * squares / (FED_BACK + squares)
        return float(np.log2(1 + ENTROPY * squares).sum() / 2) * weights / max(1, squares.size)

    @cached_property
    def _spreads(self) -> tuple[Doubles, Doubles]:
        """Logarithms of rows' and columns' sizes over their steps, of a few that stand for all."""
        rows = self.sizes.rows - self.row_log2_steps - self.offset
        cols = self.sizes.cols - self.sizes.overall - self.col_log2_steps
        return _few(rows), _few(cols)


def _few(values: Doubles) -> Doubles:
    """Return the middles of at most ``FEW`` equal shares of some numbers, by rank."""
    if len(values) <= FEW:
        return values
    ranks = (np.arange(FEW) + 0.5) * len(values) / FEW
    few: Doubles = np.sort(values)[ranks.astype(np.int64)]
    return few
