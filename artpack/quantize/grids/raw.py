"""Tensors kept as they are."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.parts import byte_planes, check_parts, join_bytes, split_bytes
from artpack.stages import ConfiguredStage, nearest
from artpack.stages.symbols import PartSpec, Quantized

NAMES = (
    *("float64", "float32", "float16", "bfloat16"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    "float4_e2m1fn_x2",
    *("complex128", "complex64", "complex32"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)),
    *("bits16", "bits8", "bits4x2", "bits2x4", "bits1x8"),
)

DTYPES = MappingProxyType(
    {name: getattr(torch, name) for name in NAMES if hasattr(torch, name)},
)
"""Types of tensors that can be stored, by the name that torch gives them; older ones lack some."""

GRIDDED = frozenset(NAMES[:6])
"""Types of tensors that may be stored by a grid: what it gives is rounded to them."""

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
            remedy = (
                "; this torch is too old for it"
                if self.dtype in NAMES
                else nearest(self.dtype, DTYPES)
            )
            raise UsageError(f"raw: unknown dtype {self.dtype!r}{remedy}")

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
        """Put the tensor together again."""
        check_parts(quantized, self.parts(quantized.shape))
        return join_bytes("data", quantized.parts, DTYPES[self.dtype]).reshape(quantized.shape)
