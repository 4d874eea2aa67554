"""
Clips: the place of the outermost level of a row's grid.

Statistics of rows are taken in float64: another order of summation, on another
machine or with other threads, then moves a threshold by some 1e-16 of itself,
and it would have to lie that close to a rounding boundary of fp16 to change a
stored scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.stages import ConfiguredStage, Stage, Table, by_id
from artpack.system.jit import jit
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class Clip(Stage, Protocol):
    """A rule for the magnitude beyond which a row's weights are clipped."""

    def thresholds(self, rows: Tensor, *, radius: int) -> Tensor:
        """Return one float64 magnitude a row of a float64 matrix; 0 where the rule has none."""


@dataclass(frozen=True)
class StdClip(ConfiguredStage):
    """
    Clip at a multiple of the row's standard deviation.

    Attributes:
        k: How many standard deviations; positive.

    Source: parameter-golf pull request 1934, whose steps are ``12 * std / 31``.

    """

    stage_id: ClassVar[str] = "std"
    k: float

    def __post_init__(self) -> None:
        if not (self.k > 0 and math.isfinite(self.k)):
            raise UsageError(f"std: k must be positive, got {self.k}")

    def thresholds(self, rows: Tensor, *, radius: int) -> Tensor:  # noqa: ARG002
        """
        Return the thresholds.

        Args:
            rows: float64, shape ``(rows, cols)``.
            radius: Not used.

        Returns:
            float64, shape ``(rows,)``: of the unbiased standard deviation, which
            is taken as 0 for a row of one weight.

        """
        centred = rows - rows.mean(dim=1, keepdim=True)
        variance = centred.square().sum(dim=1) / max(rows.shape[1] - 1, 1)
        return self.k * variance.sqrt()


@dataclass(frozen=True)
class PercentileClip(ConfiguredStage):
    """
    Clip at a percentile of the row's magnitudes.

    Attributes:
        percentile: Above 0, up to 100, which clips nothing.
    """

    stage_id: ClassVar[str] = "percentile"
    percentile: float

    def __post_init__(self) -> None:
        if not 0 < self.percentile <= 100:
            raise UsageError(
                f"percentile: percentile must be above 0, up to 100, got {self.percentile}"
            )

    def thresholds(self, rows: Tensor, *, radius: int) -> Tensor:  # noqa: ARG002
        """
        Return the thresholds.

        Args:
            rows: float64, shape ``(rows, cols)``.
            radius: Not used.

        Returns:
            float64, shape ``(rows,)``: interpolated between the two nearest magnitudes.

        """
        magnitudes = rows.abs().numpy()
        found = np.percentile(magnitudes, self.percentile, axis=1, overwrite_input=True)
        return torch.from_numpy(found)


_LANES, _SPAN = 8, 256
"""Sums that are added up at once; magnitudes between looks at them."""


@dataclass(frozen=True)
class MseClip(ConfiguredStage):
    """Clip at that share of the row's maximum which gives the smallest squared rounding error."""

    stage_id: ClassVar[str] = "mse"

    SHARES: ClassVar[tuple[float, ...]] = tuple(percent / 100 for percent in range(100, 0, -2))

    def thresholds(self, rows: Tensor, *, radius: int) -> Tensor:
        """
        Return the thresholds.

        Args:
            rows: float64, shape ``(rows, cols)``.
            radius: The outermost code of the grid.

        Returns:
            float64, shape ``(rows,)``: the largest of equally good ones.

        """
        best = np.empty(len(rows))
        _find_best(np.ascontiguousarray(rows.numpy()), radius, np.array(self.SHARES), best)
        return torch.from_numpy(best)


@jit(nogil=True, error_model="numpy")
def _find_best(
    rows: NDArray[np.float64], radius: int, shares: NDArray[np.float64], best: NDArray[np.float64]
) -> None:
    """Find the threshold of each row; a share is given up once its error is not the least."""
    magnitudes = np.zeros(-(-rows.shape[1] // _LANES) * _LANES)
    for r in range(len(rows)):
        magnitudes[: rows.shape[1]] = np.abs(rows[r])
        widest = magnitudes.max()
        best[r], least = widest, np.inf
        for share in shares:
            # A row of zeros: any step does, but 0/0 would not.
            step = max(share * widest / radius, np.finfo(np.float64).tiny)
            error = _squared_error(magnitudes, step, float(radius), least)
            if error < least:
                best[r], least = share * widest, error


@jit(nogil=True, error_model="numpy")
def _squared_error(
    magnitudes: NDArray[np.float64], step: float, radius: float, least: float
) -> float:
    """Return the error of rounding to steps, or what it is at least if that is too much."""
    inverse = 1 / step
    errors = np.zeros(_LANES)
    for start in range(0, len(magnitudes), _SPAN):
        for at in range(start, min(start + _SPAN, len(magnitudes)), _LANES):
            for lane in range(_LANES):
                magnitude = magnitudes[at + lane]
                code = np.rint(magnitude * inverse)
                error = magnitude - (min(radius, code)) * step
                errors[lane] += error * error
        if errors.sum() >= least:
            break
    total: float = errors.sum()
    return total


@dataclass(frozen=True)
class GivenClip(ConfiguredStage):
    """
    No rule: the steps came with the codes, from another file or a search.

    Weights that are quantized under it anyway are not clipped.
    """

    stage_id: ClassVar[str] = "given"

    def thresholds(self, rows: Tensor, *, radius: int) -> Tensor:  # noqa: ARG002
        """
        Return no thresholds.

        Args:
            rows: float64, shape ``(rows, cols)``.
            radius: Not used.

        Returns:
            float64 zeros, shape ``(rows,)``.

        """
        return rows.new_zeros(len(rows))


CLIPS: Table[Clip] = by_id((StdClip, PercentileClip, MseClip, GivenClip))
