"""Tensors kept as they are."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.parts import byte_planes, check_parts, join_bytes, split_bytes
from artpack.quantize.weights import matrix_shape
from artpack.stages import ConfiguredStage, nearest
from artpack.symbols import PartSpec, Quantized

DTYPES = MappingProxyType(
    {
        str(dtype).removeprefix("torch."): dtype
        for dtype in (
            torch.float64,
            torch.float32,
            torch.float16,
            torch.bfloat16,
            torch.float8_e4m3fn,
            torch.float8_e5m2,
            torch.complex128,
            torch.complex64,
            torch.int64,
            torch.int32,
            torch.int16,
            torch.int8,
            torch.uint64,
            torch.uint32,
            torch.uint16,
            torch.uint8,
            torch.bool,
        )
    }
)
"""Types of tensors that can be stored, by the name that torch gives them."""

SHORT = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Raw(ConfiguredStage):
    """
    The bytes of any tensor; lossless, NaN and infinity included.

    Attributes:
        dtype: The tensor's type, as torch spells it: ``float32``.
    """

    stage_id: ClassVar[str] = "raw"
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(f"raw: unknown dtype {self.dtype!r}{nearest(self.dtype, DTYPES)}")

    @property
    def label(self) -> str:
        """``raw fp32``, ``raw int64``."""
        return f"raw {SHORT.get(self.dtype, self.dtype)}"

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return the planes of the elements' bytes: ``data.0``, ``data.1`` ... or ``data``."""
        rows, cols = matrix_shape(shape)
        return byte_planes("data", rows * cols, DTYPES[self.dtype])

    def quantize(self, weight: Tensor) -> Quantized:
        """
        Take the tensor's bytes.

        Args:
            weight: Any shape, of the type ``dtype``.

        Returns:
            The planes of its bytes.

        Raises:
            UsageError: The tensor is of another type.

        """
        if weight.dtype != DTYPES[self.dtype]:
            raise UsageError(
                f"{self.label} cannot hold {weight.dtype}: give the tensor's own dtype"
            )
        return Quantized(tuple(weight.shape), split_bytes("data", weight.detach().cpu()))

    def dequantize(self, quantized: Quantized) -> Tensor:
        """
        Put the tensor together again.

        Args:
            quantized: What :meth:`quantize` returns, or what a stranger says it did.

        Returns:
            The same tensor, bit for bit, of the type ``dtype``.

        Raises:
            CorruptError: The parts do not fit the shape, or a bool is neither 0 nor 1.

        """
        check_parts(quantized, self.parts(quantized.shape))
        return join_bytes("data", quantized.parts, DTYPES[self.dtype]).reshape(quantized.shape)
