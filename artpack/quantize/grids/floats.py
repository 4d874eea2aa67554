"""Smaller floating point: every weight narrowed by itself, no scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from artpack.errors import CorruptError
from artpack.quantize.grids.checked_grid import CheckedGrid, Weights
from artpack.quantize.matrix_view import finite_chunks, matrix_shape, reject
from artpack.quantize.parts import byte_planes, join_planes, split_bytes
from artpack.stages.floats import widen
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class Narrow(CheckedGrid):
    """What the three types share: rounding half to even, and overflow as an error."""

    dtype_name: ClassVar[str]
    part_name: ClassVar[str] = "data"

    @property
    def torch_dtype(self) -> torch.dtype:
        """What torch calls the type."""
        dtype: torch.dtype = getattr(torch, self.dtype_name)
        return dtype

    @property
    def label(self) -> str:
        """``fp8``, ``fp16`` or ``bf16``."""
        return self.stage_id

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return the planes of the weights' bytes, ``data.0`` and ``data.1``."""
        rows, cols = matrix_shape(shape)
        return byte_planes("data", rows * cols, self.dtype_name)

    def quantize(self, weight: Tensor) -> Quantized:
        """
        Narrow a weight tensor.

        Args:
            weight: Floating point, any shape, finite.

        Returns:
            The bit patterns.

        Raises:
            UsageError: A weight is not finite, or would not be any more; names
                its index and the value.

        """
        narrow = torch.empty(weight.numel(), dtype=self.torch_dtype)
        largest = torch.finfo(self.torch_dtype).max
        fault = f"overflows {self.label}, largest {largest:g}: choose a wider type"
        for at, chunk in finite_chunks(weight, (weight.numel(), 1)):
            # Rounded at half the size, where a small excess shows: what torch makes of an fp8
            # overflow, NaN or the largest value, depends on its version.
            rounded = (chunk / 2).to(self.torch_dtype).float() * 2
            reject(~(rounded.abs() <= largest), weight, at.start, fault)
            narrow[at] = chunk.to(self.torch_dtype).flatten()
        return Quantized(tuple(weight.shape), self._split(narrow, tuple(weight.shape)))

    def _weights(self, parts: Mapping[str, Symbols], shape: tuple[int, int]) -> Weights:
        """Widen again."""
        weights = widen(join_planes(self.part_name, parts, self.dtype_name), self.dtype_name)
        if not np.isfinite(weights).all():
            raise CorruptError(f"a value in {self.label} is NaN or infinite")
        return weights.reshape(shape)

    def _split(self, narrow: Tensor, shape: tuple[int, ...]) -> dict[str, Symbols]:  # noqa: ARG002
        return split_bytes("data", narrow)


@dataclass(frozen=True)
class Fp8(Narrow):
    """
    e4m3fn: four bits of exponent, three of mantissa, no infinity, up to 448.

    There is no scale: values below 2**-10 vanish. A symbol is a whole weight,
    so that the part keeps the tensor's rows and columns.
    """

    stage_id: ClassVar[str] = "fp8"
    dtype_name: ClassVar[str] = "float8_e4m3fn"
    part_name: ClassVar[str] = "codes"

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return one part, ``codes``: the bit patterns, of alphabet 256."""
        return (PartSpec("codes", *matrix_shape(shape), 256),)

    def _split(self, narrow: Tensor, shape: tuple[int, ...]) -> dict[str, Symbols]:
        return {"codes": split_bytes("codes", narrow)["codes"].reshape(matrix_shape(shape))}


@dataclass(frozen=True)
class Fp16(Narrow):
    """IEEE half precision: eleven bits of precision, up to 65504."""

    stage_id: ClassVar[str] = "fp16"
    dtype_name: ClassVar[str] = "float16"


@dataclass(frozen=True)
class Bf16(Narrow):
    """The upper half of an fp32: eight bits of precision, the same range."""

    stage_id: ClassVar[str] = "bf16"
    dtype_name: ClassVar[str] = "bfloat16"
