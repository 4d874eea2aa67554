"""
Grids that a weight is put on in every forward pass.

Models trained with quantization in the loop only make sense on their grid: the
raw weight is never used, so a checkpoint of them is not the function that was
trained. These are the grids of the published systems as their forward passes
compute them, with scales in full precision; a quantizer that stores a file
rounds its scales and lives in :mod:`artpack.quantize`.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.stages import ConfiguredStage, Stage, Table, by_id


class Grid(Stage, Protocol):
    """A set of values that a weight matrix is rounded to."""

    def project(self, weight: Tensor, correction: Tensor | None) -> Tensor:
        """Return the rounded weight, same shape and dtype; ``correction`` multiplies scales."""

    def correction_size(self, shape: tuple[int, ...]) -> int | None:
        """Return how many learned scale corrections a matrix carries, None for none."""


class Uncorrected:
    """A grid whose scales follow from the weight alone."""

    def correction_size(self, shape: tuple[int, ...]) -> int | None:  # noqa: ARG002
        """Return None."""
        return None


@dataclass(frozen=True)
class Float8(Uncorrected, ConfiguredStage):
    """
    A cast to float8 e4m3fn and back, without a scale.

    Attributes:
        stage_id: ``float8``.
    """

    stage_id: ClassVar[str] = "float8"

    def project(self, weight: Tensor, correction: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the rounded weight; values above 464 become NaN."""
        return weight.to(torch.float8_e4m3fn).to(weight.dtype)


@dataclass(frozen=True)
class FakeRowInt(Uncorrected, ConfiguredStage):
    """
    Signed integers times a row's largest magnitude over ``2**(bits - 1)``.

    The largest positive weight of a row is always clipped by one step.

    Attributes:
        stage_id: ``fake-row-int``.
        bits: Width of a code, 2 to 8.
    """

    stage_id: ClassVar[str] = "fake-row-int"
    bits: int

    def __post_init__(self) -> None:
        _check_bits(self.bits)

    def project(self, weight: Tensor, correction: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the rounded weight."""
        half = 1 << (self.bits - 1)
        largest = weight.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
        codes = (weight / largest * half).round().clamp(-half, half - 1)
        return codes / half * largest


@dataclass(frozen=True)
class RowClippedInt(Uncorrected, ConfiguredStage):
    """
    Signed integers times a step that a quantile of the row's magnitudes sets.

    Attributes:
        stage_id: ``row-clipped-int``.
        bits: Width of a code, 2 to 8; the step is never below ``1 / (2**(bits - 1) - 1)``.
        quantile: Share of the row's magnitudes that is not clipped, above 0, at most 1.
    """

    stage_id: ClassVar[str] = "row-clipped-int"
    bits: int
    quantile: float

    def __post_init__(self) -> None:
        _check_bits(self.bits)
        if not 0 < self.quantile <= 1:
            raise UsageError(f"row-clipped-int: quantile must be in (0, 1], got {self.quantile}")

    def project(self, weight: Tensor, correction: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the rounded weight."""
        highest = (1 << (self.bits - 1)) - 1
        clip = torch.quantile(weight.abs(), self.quantile, dim=-1, keepdim=True)
        step = (clip / highest).clamp(min=1 / highest)
        return (weight / step).round().clamp(-highest - 1, highest) * step


@dataclass(frozen=True)
class FakeRowPentanary(Uncorrected, ConfiguredStage):
    """
    Five levels a row, -2 to 2, cut at 0.7 and 1.4 mean magnitudes, least-squares scale.

    Attributes:
        stage_id: ``fake-row-pentanary``.
    """

    stage_id: ClassVar[str] = "fake-row-pentanary"

    def project(self, weight: Tensor, correction: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the rounded weight."""
        magnitude = weight.abs()
        cut = 0.7 * magnitude.mean(dim=-1, keepdim=True)
        codes = weight.sign() * ((magnitude > cut).to(weight) + (magnitude > 2 * cut).to(weight))
        squares = codes.square().sum(dim=-1, keepdim=True).clamp(min=1e-8)
        return codes * ((weight * codes).sum(dim=-1, keepdim=True) / squares)


@dataclass(frozen=True)
class GroupQuinary(ConfiguredStage):
    """
    Five levels, -2 to 2, times the mean magnitude of a group of consecutive weights.

    Attributes:
        stage_id: ``group-quinary``.
        group_size: Weights in a group, in C order of the matrix, 1 or more.
        bf16: Do the arithmetic in bfloat16, as PR 2086 does when it is not
            compiled; its published numbers come from the compiled fp32 form.
    """

    stage_id: ClassVar[str] = "group-quinary"
    group_size: int
    bf16: bool = False

    def __post_init__(self) -> None:
        if self.group_size < 1:
            raise UsageError(f"group-quinary: group_size must be 1 or more, got {self.group_size}")

    def correction_size(self, shape: tuple[int, ...]) -> int | None:
        """Return the number of groups in a matrix of this shape."""
        weights = 1
        for size in shape:
            weights *= size
        if weights % self.group_size:
            raise UsageError(
                f"group-quinary: a {shape} matrix is not whole groups of {self.group_size}"
            )
        return weights // self.group_size

    def project(self, weight: Tensor, correction: Tensor | None) -> Tensor:
        """Return the rounded weight."""
        working = weight.bfloat16() if self.bf16 else weight
        groups = working.reshape(-1, self.group_size)
        scale = groups.abs().mean(dim=-1, keepdim=True).clamp(min=1e-8)
        if correction is not None:
            scale = scale * correction.to(scale.dtype)[:, None]
        rounded = (groups / scale).round().clamp(-2, 2) * scale
        if self.bf16:
            # The straight-through sum of the original is rounded to bfloat16 twice.
            rounded = groups + (rounded - groups)
        return rounded.reshape(weight.shape).to(weight.dtype)


_GRIDS: Table[Grid] = by_id((Float8, FakeRowInt, RowClippedInt, FakeRowPentanary, GroupQuinary))
GRIDS: Table[Grid] = {**_GRIDS, "row-int": FakeRowInt, "row-pentanary": FakeRowPentanary}
"""By id; the last two as configs of before 0.2 have them."""


def simulate(grid: Grid, weight: Tensor, correction: Tensor | None = None) -> Tensor:
    """
    Put a weight on a grid, with the identity as the gradient.

    The grid's arithmetic is float32 whatever the weight's dtype, so that a model run in
    float64 for comparison has the same codes.

    Args:
        grid: The grid.
        weight: Float tensor (rows, cols).
        correction: One learned factor a scale, or None.

    Returns:
        The rounded weight. Gradients reach ``weight`` unchanged and never
        reach ``correction`` (the straight-through estimator).

    """
    fixed = None if correction is None else correction.detach()
    rounded = grid.project(weight.detach().float(), fixed).to(weight.dtype)
    # A copy whose content is replaced: its gradient is the weight's, and it stays known as
    # the weight to whoever follows copies.
    used = weight.clone()
    with torch.no_grad():
        return used.copy_(rounded)


def _check_bits(bits: int) -> None:
    if not 2 <= bits <= 8:
        raise UsageError(f"a grid's bits must be in 2..8, got {bits}")
