"""
Storage of a grid's scales: fp16, deltas on a logarithmic grid, or fp32.

A grid first lets a :class:`Scales` stage round its scales, nearly always to fp16; the
stage then turns them into parts and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from artpack.errors import CorruptError, UsageError
from artpack.quantize.parts import byte_planes, join_planes, split_bytes
from artpack.stages import ConfiguredStage, Stage, Table, by_id
from artpack.stages.floats import widen
from artpack.stages.symbols import PartSpec, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float32]

FP16_MAX = 65504.0
FP16_TINY_LOG2 = -24
"""Logarithm of the smallest positive fp16."""


class Scales(Stage, Protocol):
    """Positive scales to parts and back."""

    def rounded(self, scales: Tensor) -> Tensor:
        """Round non-negative scales to positive ones of the type that ``quantize`` takes."""

    def parts(self, rows: int, cols: int) -> tuple[PartSpec, ...]:
        """Return the parts that a matrix of scales is stored as, in order."""

    def quantize(self, scales: Tensor) -> dict[str, Symbols]:
        """Turn positive scales of shape ``(rows, cols)`` into parts."""

    def values(self, parts: Mapping[str, Symbols], *, shape: tuple[int, int]) -> Values:
        """
        Turn parts back into scales.

        Args:
            parts: Of the geometry that :meth:`parts` gives.
            shape: Rows and columns of the scales.

        Returns:
            fp32, of that shape, finite and non-negative.

        Raises:
            CorruptError: A scale is negative, infinite or NaN.

        """


def fp16_scales(scales: Tensor) -> Tensor:
    """
    Round scales to fp16.

    Args:
        scales: Non-negative floating point, shape ``(rows, cols)``.

    Returns:
        fp16, the same shape, finite.

    Raises:
        UsageError: A scale is too large for fp16.

    """
    rounded = scales.float().half()
    if rounded.isinf().any():
        row, col = rounded.isinf().nonzero()[0].tolist()
        raise UsageError(
            f"row {row} needs a scale of {scales[row, col].item():g}, the largest in fp16 is"
            f" {FP16_MAX:.0f}: store the tensor as raw"
        )
    return rounded


def positive_scales(scales: Tensor) -> Tensor:
    """
    Round scales to positive fp16.

    A scale that fp16 rounds to zero, that of a row of zeros for example, takes
    the smallest of the others. Any scale does for such weights: it makes their
    codes zero, or nearly all of them. This one leaves the range of the scales
    alone, on which :class:`LogDeltaScales` depends.

    Args:
        scales: Non-negative floating point, shape ``(rows, cols)``.

    Returns:
        fp16, the same shape, every value positive and finite.

    Raises:
        UsageError: A scale is too large for fp16.

    >>> positive_scales(torch.tensor([[0.5], [0.0], [0.25]])).flatten().tolist()
    [0.5, 0.25, 0.25]

    """
    rounded = fp16_scales(scales)
    positive = rounded[rounded > 0]
    substitute = positive.min() if positive.numel() else rounded.new_tensor(2.0**FP16_TINY_LOG2)
    return torch.where(rounded > 0, rounded, substitute)


def read_scales(name: str, parts: Mapping[str, Symbols], dtype: str = "float16") -> Values:
    """
    Join the bytes of scales, and refuse what is none.

    Args:
        name: Name of the scales.
        parts: Their planes, among others.
        dtype: Their type, ``float16`` or ``float32``.

    Returns:
        fp32, one-dimensional, finite and non-negative.

    Raises:
        CorruptError: A scale is negative, infinite or NaN.

    """
    scales = widen(join_planes(name, parts, dtype), dtype)
    # signbit and not "< 0": a writer never makes minus zero either.
    bad = ~np.isfinite(scales) | np.signbit(scales)
    if bad.any():
        row = int(bad.argmax())
        raise CorruptError(f"scale {row} is {scales[row]}")
    return scales


@dataclass(frozen=True)
class Fp16Scales(ConfiguredStage):
    """Every scale as the two bytes of its fp16: lossless."""

    stage_id: ClassVar[str] = "fp16"

    def rounded(self, scales: Tensor) -> Tensor:
        """Round scales to fp16, see :func:`positive_scales`."""
        return positive_scales(scales)

    def parts(self, rows: int, cols: int) -> tuple[PartSpec, ...]:
        """Return the planes of the scales' bytes, ``scales.0`` and ``scales.1``."""
        return byte_planes("scales", rows * cols, "float16")

    def quantize(self, scales: Tensor) -> dict[str, Symbols]:
        """
        Turn scales into parts.

        Args:
            scales: fp16, non-negative, shape ``(rows, cols)``.

        Returns:
            ``scales.0`` and ``scales.1``: uint8, shape ``(rows * cols, 1)``.

        """
        return split_bytes("scales", scales)

    def values(self, parts: Mapping[str, Symbols], *, shape: tuple[int, int]) -> Values:
        """Turn parts back into scales."""
        return read_scales("scales", parts).reshape(shape)


@dataclass(frozen=True)
class LogDeltaScales(ConfiguredStage):
    """
    Scales as whole steps from an anchor, on a logarithmic axis.

    The grid spans the range of the tensor's scales. Its two ends lie half a
    step outside the levels, as in the system this comes from.

    Attributes:
        bits: Bits of a delta: 4, 5 or 8.

    Source: parameter-golf pull request 2086, the scales of its export.

    """

    stage_id: ClassVar[str] = "log-delta"
    bits: int

    def __post_init__(self) -> None:
        if self.bits not in (4, 5, 8):
            raise UsageError(f"log-delta: bits must be 4, 5 or 8, got {self.bits}")

    def rounded(self, scales: Tensor) -> Tensor:
        """Round scales to fp16, see :func:`positive_scales`."""
        return positive_scales(scales)

    def parts(self, rows: int, cols: int) -> tuple[PartSpec, ...]:
        """Return the deltas, a matrix of the scales' shape, and the planes of anchor and step."""
        return (
            PartSpec("scales", rows, cols, 2**self.bits),
            *byte_planes("anchor_step", 2, "float16"),
        )

    def quantize(self, scales: Tensor) -> dict[str, Symbols]:
        """
        Turn scales into parts.

        Args:
            scales: fp16, shape ``(rows, cols)``, positive; a zero counts as 1e-12 and
                stretches the range accordingly.

        Returns:
            ``scales``: uint8, shape ``(rows, cols)``, delta plus ``2**(bits - 1)``;
            ``anchor_step.0`` and ``anchor_step.1``: uint8, shape ``(2, 1)``.

        >>> scales = torch.tensor([[0.01, 0.02, 0.03, 0.05, 0.08]]).half()
        >>> parts = LogDeltaScales(5).quantize(scales)
        >>> parts["scales"].tolist()
        [[0, 11, 17, 24, 31]]
        >>> [round(s, 6) for s in LogDeltaScales(5).values(parts, shape=(1, 5))[0].tolist()]
        [0.009666, 0.020218, 0.030228, 0.04837, 0.077332]

        """
        # The largest and the smallest scale lie exactly on a rounding tie, so the last
        # bit of each logarithm decides: rounded from float64 it is every machine's.
        logs = scales.double().clamp(min=1e-12).log2().float()
        low, high = logs.aminmax() if logs.numel() else logs.new_zeros(2)
        anchor = (low + high) / 2
        step = ((high - low) / (2**self.bits - 1)).clamp(min=1e-9)
        half = 2 ** (self.bits - 1)
        deltas = ((logs - anchor) / step).round().clamp(-half, half - 1)
        return {
            "scales": (deltas + half).to(torch.uint8).numpy(),
            **split_bytes("anchor_step", torch.stack((anchor, step)).half()),
        }

    def values(self, parts: Mapping[str, Symbols], *, shape: tuple[int, int]) -> Values:
        """Turn parts back into scales."""
        anchor, step = widen(join_planes("anchor_step", parts, "float16"), "float16")
        if not (np.isfinite(anchor) and 0 <= step < np.inf):
            raise CorruptError(f"scales have the anchor {anchor} and the step {step}")
        half = 2 ** (self.bits - 1)
        exponents = anchor + np.arange(-half, half, dtype=np.float32) * step
        # From float64 for the same reason as above; half a step may reach beyond fp16.
        powers = np.exp2(exponents.clip(FP16_TINY_LOG2, 16).astype(np.float64)).clip(max=FP16_MAX)
        levels = powers.astype(np.float32).astype(np.float16).astype(np.float32)
        values: Values = levels[parts["scales"]].reshape(shape)
        return values


@dataclass(frozen=True)
class Fp32Scales(ConfiguredStage):
    """Every scale as the four bytes of its fp32: for weights whose scales fp16 cannot hold."""

    stage_id: ClassVar[str] = "fp32"

    def rounded(self, scales: Tensor) -> Tensor:
        """
        Round scales to positive fp32; one that is zero takes the smallest of the others.

        Args:
            scales: Non-negative floating point, shape ``(rows, cols)``.

        Returns:
            fp32, the same shape, every value positive and finite.

        Raises:
            UsageError: A scale is too large for fp32.

        """
        rounded = scales.float()
        if rounded.isinf().any():
            raise UsageError("a scale is too large for fp32: store the tensor as raw")
        positive = rounded[rounded > 0]
        substitute = positive.min() if positive.numel() else rounded.new_tensor(1.0)
        return torch.where(rounded > 0, rounded, substitute)

    def parts(self, rows: int, cols: int) -> tuple[PartSpec, ...]:
        """Return the planes of the scales' bytes, ``scales.0`` to ``scales.3``."""
        return byte_planes("scales", rows * cols, "float32")

    def quantize(self, scales: Tensor) -> dict[str, Symbols]:
        """
        Turn scales into parts.

        Args:
            scales: Non-negative floating point, shape ``(rows, cols)``.

        Returns:
            ``scales.0`` to ``scales.3``: uint8, shape ``(rows * cols, 1)``.

        """
        return split_bytes("scales", scales.float())

    def values(self, parts: Mapping[str, Symbols], *, shape: tuple[int, int]) -> Values:
        """Turn parts back into scales."""
        return read_scales("scales", parts, "float32").reshape(shape)


SCALES: Table[Scales] = by_id((Fp16Scales, LogDeltaScales, Fp32Scales))
