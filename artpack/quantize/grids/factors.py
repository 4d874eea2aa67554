"""Storage of the two thin matrices of a low-rank correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from artpack.errors import UsageError
from artpack.quantize.grids.checked_grid import Weights, centred
from artpack.quantize.parts import byte_planes, split_bytes
from artpack.quantize.scales import fp16_scales, read_scales
from artpack.stages import ConfiguredStage, Stage, Table, by_id
from artpack.stages.symbols import PartSpec, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

LEFT_LEVELS, RIGHT_LEVELS = (-2, 1), (-8, 7)
"""Outermost codes of :class:`GroupFactors`: two bits on the left, four on the right."""


class Factors(Stage, Protocol):
    """Matrices ``left``, of shape ``(rows, rank)``, and ``right``, ``(rank, cols)``, to parts."""

    @property
    def label(self) -> str:
        """Short name for tables."""

    def parts(self, rows: int, rank: int, cols: int) -> tuple[PartSpec, ...]:
        """Return ``left``, ``right``, and the parts of their scales."""

    def quantize(self, left: Tensor, right: Tensor) -> dict[str, Symbols]:
        """Turn two fp32 matrices into parts."""

    def values(self, parts: Mapping[str, Symbols]) -> tuple[Weights, Weights]:
        """
        Turn parts back into two matrices.

        Args:
            parts: Of the geometry that :meth:`parts` gives.

        Returns:
            fp32, shapes ``(rows, rank)`` and ``(rank, cols)``.

        Raises:
            CorruptError: A scale is negative, infinite or NaN.

        """


@dataclass(frozen=True)
class GroupFactors(ConfiguredStage):
    """
    Two bits on the left with one scale, four on the right with a scale a group.

    Attributes:
        group: Consecutive elements of the right matrix, row-major, that share a
            scale; 1 to 65536. The last group may be shorter.

    Source: parameter-golf pull request 1934, its asymmetric LQER.

    """

    stage_id: ClassVar[str] = "group-factors"
    group: int

    def __post_init__(self) -> None:
        if not 1 <= self.group <= 1 << 16:
            raise UsageError(f"group-factors: group must be 1 to 65536, got {self.group}")

    @property
    def label(self) -> str:
        """``2+4``: bits on the left and on the right."""
        return "2+4"

    def parts(self, rows: int, rank: int, cols: int) -> tuple[PartSpec, ...]:
        """Return codes of alphabet 4 and 16, and the planes of one and of the groups' scales."""
        return (
            PartSpec("left", rows, rank, 4),
            PartSpec("right", rank, cols, 16),
            *byte_planes("left_scales", min(1, rows * rank), "float16"),
            *byte_planes("right_scales", -(-rank * cols // self.group), "float16"),
        )

    def quantize(self, left: Tensor, right: Tensor) -> dict[str, Symbols]:
        """
        Round both matrices, half to even.

        Args:
            left: fp32, shape ``(rows, rank)``.
            right: fp32, shape ``(rank, cols)``.

        Returns:
            The parts. Left scale: largest magnitude over 1.5; right: over 7.5.

        Raises:
            UsageError: A scale is too large for fp16.

        """
        # One row; none where there are no elements, for then there is no scale.
        whole = left.flatten().unsqueeze(0)[: left.numel()]
        left_codes, left_scales = _round(whole, *LEFT_LEVELS)
        missing = -right.numel() % self.group
        groups = torch.nn.functional.pad(right.flatten(), (0, missing)).reshape(-1, self.group)
        right_codes, right_scales = _round(groups, *RIGHT_LEVELS)
        return {
            "left": left_codes.reshape(left.shape),
            "right": right_codes.ravel()[: right.numel()].reshape(right.shape),
            **split_bytes("left_scales", left_scales),
            **split_bytes("right_scales", right_scales),
        }

    def values(self, parts: Mapping[str, Symbols]) -> tuple[Weights, Weights]:
        """Return code times scale; exact in fp32."""
        left = centred(parts["left"], -LEFT_LEVELS[0]) * read_scales("left_scales", parts)
        scales = read_scales("right_scales", parts).repeat(self.group)
        right = centred(parts["right"], -RIGHT_LEVELS[0])
        return left, right * scales[: right.size].reshape(right.shape)


@dataclass(frozen=True)
class RowFactors(ConfiguredStage):
    """
    Symmetric integers on both sides, with a scale for each row of either matrix.

    Attributes:
        bits: 2 to 8, of either side.

    Source: parameter-golf pull request 1934, its symmetric LQER.

    """

    stage_id: ClassVar[str] = "row-factors"
    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise UsageError(f"row-factors: bits must be 2 to 8, got {self.bits}")

    @property
    def label(self) -> str:
        """``4+4``: bits on the left and on the right."""
        return f"{self.bits}+{self.bits}"

    @property
    def radius(self) -> int:
        """The outermost code."""
        return (1 << (self.bits - 1)) - 1

    def parts(self, rows: int, rank: int, cols: int) -> tuple[PartSpec, ...]:
        """Return codes of alphabet ``2 * radius + 1``, and the planes of the rows' scales."""
        alphabet = 2 * self.radius + 1
        return (
            PartSpec("left", rows, rank, alphabet),
            PartSpec("right", rank, cols, alphabet),
            *byte_planes("left_scales", rows, "float16"),
            *byte_planes("right_scales", rank, "float16"),
        )

    def quantize(self, left: Tensor, right: Tensor) -> dict[str, Symbols]:
        """
        Round both matrices, half to even.

        Args:
            left: fp32, shape ``(rows, rank)``.
            right: fp32, shape ``(rank, cols)``.

        Returns:
            The parts. Scales are the rows' largest magnitudes over the radius.

        Raises:
            UsageError: A scale is too large for fp16.

        """
        left_codes, left_scales = _round(left, -self.radius, self.radius)
        right_codes, right_scales = _round(right, -self.radius, self.radius)
        return {
            "left": left_codes,
            "right": right_codes,
            **split_bytes("left_scales", left_scales),
            **split_bytes("right_scales", right_scales),
        }

    def values(self, parts: Mapping[str, Symbols]) -> tuple[Weights, Weights]:
        """Return code times scale; exact in fp32."""
        left, right = (
            centred(parts[side], self.radius) * read_scales(f"{side}_scales", parts)[:, None]
            for side in ("left", "right")
        )
        return left, right


FACTORS: Table[Factors] = by_id((GroupFactors, RowFactors))


def _round(rows: Tensor, lowest: int, highest: int) -> tuple[Symbols, Tensor]:
    """Return symbols, and one fp16 scale a row: its largest magnitude over half the levels."""
    half = (highest - lowest) / 2
    widest = rows.abs().amax(dim=1, keepdim=True) if rows.numel() else rows.new_zeros(len(rows), 1)
    scales = fp16_scales(widest / half)
    steps = scales.float()
    codes = torch.where(steps > 0, rows / steps, 0).round_().clamp_(lowest, highest)
    return codes.sub_(lowest).to(torch.uint8).numpy(), scales
