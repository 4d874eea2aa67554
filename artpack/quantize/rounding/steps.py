"""
Steps of rows as published systems find them, to the bit.

A quantizer's own clip is enough for new work. These rules compute in fp32, as the
originals do, and some of them round with other steps than they store. None of it
is written to the file but the steps: the quantizer's clip is then ``given``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from artpack.errors import UsageError
from artpack.quantize.matrix_view import row_chunks
from artpack.quantize.scales import positive_scales
from artpack.stages import ConfiguredStage, Stage, Table, by_id
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

PERCENTILES = (0.999, 0.9995, 0.9999, 0.99999, 1.0)
"""What the searches try as published, in this order; the first of equals wins."""


@dataclass(frozen=True, eq=False)
class RowGrid:
    """
    Rows that are ready to be rounded.

    Attributes:
        rows: What to round, fp32, shape ``(rows, cols)``; perhaps clipped already.
        steps: What to round with, fp32, positive, shape ``(rows, 1)``.
        stored: What a reader will multiply with, fp16, positive, shape ``(rows, 1)``.
        radius: The outermost code.
    """

    rows: Tensor
    steps: Tensor
    stored: Tensor
    radius: int

    def nearest(self) -> Tensor:
        """Return the nearest codes, half to even: whole fp32 numbers."""
        return (self.rows / self.steps).round_().clamp_(-self.radius, self.radius)


class Steps(Stage, Protocol):
    """A rule for the steps of rows."""

    @property
    def floor(self) -> float:
        """Steps are never finer than this over the outermost code."""

    def grid(self, rows: Tensor, *, radius: int) -> RowGrid:
        """
        Find the steps of rows.

        Args:
            rows: fp32, shape ``(rows, cols)``.
            radius: The outermost code.

        Returns:
            The rows, clipped where the rule clips, and their steps.

        Raises:
            UsageError: A step is too large for fp16.

        """


@dataclass(frozen=True)
class FlooredPercentile(ConfiguredStage):
    """
    Clip at a percentile of the row's magnitudes, with a smallest threshold.

    Attributes:
        percentile: Above 0, up to 100.
        floor: Steps are never finer than this over the outermost code. Weights
            are clipped at the percentile all the same.
        rounded: Round weights with the steps as stored, and not before fp16.

    Source: parameter-golf pull requests 576 (not ``rounded``) and 826, int8 rows.

    """

    stage_id: ClassVar[str] = "floored-percentile"
    percentile: float
    floor: float = 1.0
    rounded: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.percentile <= 100:
            raise UsageError(
                f"{self.stage_id}: percentile must be above 0, up to 100, got {self.percentile}"
            )
        _check_floor(self.stage_id, self.floor)

    def grid(self, rows: Tensor, *, radius: int) -> RowGrid:
        """Clip rows and find their steps."""
        thresholds = _percentile(rows, self.percentile / 100)
        clipped = torch.maximum(torch.minimum(rows, thresholds), -thresholds)
        return _grid(clipped, _steps(thresholds, radius, self.floor), radius, rounded=self.rounded)


@dataclass(frozen=True)
class RowPercentiles(ConfiguredStage):
    """
    Clip each row at that of some percentiles which gives it the least squared error.

    Attributes:
        floor: Steps are never finer than this over the outermost code.
        rounded: Round weights with the steps as stored, and not before fp16. The
            errors are always those before fp16.
        percentiles: Shares of the row's magnitudes, above 0, at most 1; the first of
            equally good ones wins.

    Source: parameter-golf pull requests 576 (not ``rounded``) and 826, int5 rows.

    """

    stage_id: ClassVar[str] = "row-percentiles"
    floor: float = 1.0
    rounded: bool = True
    percentiles: tuple[float, ...] = PERCENTILES

    def __post_init__(self) -> None:
        _check_floor(self.stage_id, self.floor)
        _check_percentiles(self.stage_id, self.percentiles)

    def grid(self, rows: Tensor, *, radius: int) -> RowGrid:
        """Find the steps of rows."""
        best = rows.new_ones(len(rows), 1)
        least = rows.new_full((len(rows), 1), math.inf)
        for percentile in self.percentiles:
            steps = _steps(_percentile(rows, percentile), radius, self.floor)
            errors = _errors(rows, steps, radius).mean(dim=1, keepdim=True)
            best = torch.where(errors < least, steps, best)
            least = torch.minimum(errors, least)
        return _grid(rows, best, radius, rounded=self.rounded)


@dataclass(frozen=True)
class TensorPercentile(ConfiguredStage):
    """
    Clip all rows at that of some percentiles which gives the least squared error in all.

    Attributes:
        floor: Steps are never finer than this over the outermost code.
        rounded: Round weights with the steps as stored, and not before fp16.
        percentiles: Shares of the row's magnitudes, above 0, at most 1; the first of
            equally good ones wins.

    Source: parameter-golf pull requests 576 and 826 (not ``rounded``), what
    they do with a matrix that they have no Hessian for.

    """

    stage_id: ClassVar[str] = "tensor-percentile"
    floor: float = 1.0
    rounded: bool = True
    percentiles: tuple[float, ...] = PERCENTILES

    def __post_init__(self) -> None:
        _check_floor(self.stage_id, self.floor)
        _check_percentiles(self.stage_id, self.percentiles)

    def grid(self, rows: Tensor, *, radius: int) -> RowGrid:
        """Find the steps of rows."""
        grids = [
            _grid(
                rows,
                _steps(_percentile(rows, percentile), radius, self.floor),
                radius,
                rounded=self.rounded,
            )
            for percentile in self.percentiles
        ]
        return min(grids, key=lambda grid: _errors(rows, grid.steps, radius).mean().item())


@dataclass(frozen=True)
class RefinedSteps(ConfiguredStage):
    """
    Percentiles as :class:`RowPercentiles`, then steps and codes fitted to each other.

    Attributes:
        floor: Steps are never finer than this over the outermost code.
        refinements: How often; the last steps are stored, but not rounded with.
        damping: Share of the columns that is added to a row's sum of squared codes.
        percentiles: As :class:`RowPercentiles` has them.

    Source: parameter-golf pull request 826, what it does without a Hessian.

    """

    stage_id: ClassVar[str] = "refined"
    floor: float = 1.0
    refinements: int = 3
    damping: float = 0.01
    percentiles: tuple[float, ...] = PERCENTILES

    def __post_init__(self) -> None:
        _check_floor(self.stage_id, self.floor)
        _check_percentiles(self.stage_id, self.percentiles)
        if not (self.damping >= 0 and math.isfinite(self.damping)):
            raise UsageError(f"refined: damping must be 0 or more, got {self.damping}")
        if self.refinements < 1:
            raise UsageError(f"refined: refinements must be positive, got {self.refinements}")

    def grid(self, rows: Tensor, *, radius: int) -> RowGrid:
        """Find the steps of rows."""
        searched = RowPercentiles(self.floor, percentiles=self.percentiles)
        fitted = searched.grid(rows, radius=radius).steps
        for _ in range(self.refinements):
            steps = fitted
            codes = (rows / steps).round_().clamp_(-radius, radius)
            squares = codes.square().sum(dim=1, keepdim=True) + self.damping * rows.shape[1]
            products = (rows * codes).sum(dim=1, keepdim=True)
            fitted = (products.abs() / squares).clamp(min=self.floor / radius)
        return RowGrid(rows, steps, positive_scales(fitted), radius)


STEPS: Table[Steps] = by_id((FlooredPercentile, RowPercentiles, TensorPercentile, RefinedSteps))


def _check_floor(stage_id: str, floor: float) -> None:
    if not (floor > 0 and math.isfinite(floor)):
        raise UsageError(f"{stage_id}: floor must be positive, got {floor}")


def _check_percentiles(stage_id: str, percentiles: tuple[float, ...]) -> None:
    if not percentiles or not all(0 < share <= 1 for share in percentiles):
        raise UsageError(
            f"{stage_id}: percentiles must be shares above 0, at most 1, got {list(percentiles)}"
        )


def _percentile(rows: Tensor, share: float) -> Tensor:
    """Return a quantile of each row's magnitudes, interpolated in fp32, shape ``(rows, 1)``."""
    if share == 1 and rows.numel():
        return rows.abs().amax(dim=1, keepdim=True)
    found = rows.new_empty(len(rows), 1)
    for at in row_chunks((rows.shape[0], rows.shape[1])):
        found[at] = torch.quantile(rows[at].abs(), share, dim=1, keepdim=True)
    return found


def _steps(thresholds: Tensor, radius: int, floor: float) -> Tensor:
    return (thresholds / radius).clamp(min=floor / radius)


def _errors(rows: Tensor, steps: Tensor, radius: int) -> Tensor:
    codes = (rows / steps).round_().clamp_(-radius, radius)
    return (rows - codes.mul_(steps)).square_()


def _grid(rows: Tensor, steps: Tensor, radius: int, *, rounded: bool) -> RowGrid:
    stored = positive_scales(steps)
    return RowGrid(rows, stored.float() if rounded else steps, stored, radius)
