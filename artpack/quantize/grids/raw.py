"""Tensors kept as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from artpack.errors import UsageError
from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.parts import byte_planes, check_parts, join_planes, split_bytes
from artpack.stages import ConfiguredStage, later, nearest
from artpack.stages.dtypes import BYTES
from artpack.stages.symbols import PartSpec, Quantized, Symbols
from artpack.system.jit import portable
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class _Dtypes(Mapping[str, "torch.dtype"]):
    """Those that this version of torch has."""

    def __getitem__(self, name: str) -> torch.dtype:
        if name not in BYTES or not hasattr(torch, name):
            raise KeyError(name)
        dtype: torch.dtype = getattr(torch, name)
        return dtype

    def __iter__(self) -> Iterator[str]:
        return (name for name in BYTES if hasattr(torch, name))

    def __len__(self) -> int:
        return sum(1 for _ in self)


DTYPES = _Dtypes()
"""Types of tensors that can be stored, by the name that torch gives them."""

SHORT = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


SIGNED_FLOATS = tuple(SHORT)
"""Types that have a sign in front of at least five bits of exponent."""


@dataclass(frozen=True)
class Raw(ConfiguredStage):
    """
    The bytes of any tensor; lossless, NaN and infinity included.

    Attributes:
        dtype: The tensor's type, as torch spells it: ``float32``.
        sign_last: Whether the bits of each number are rotated by one, so that those of its
            exponent begin a byte, and the sign, which is as random as the last bits of the
            fraction, is among these: for floats of two bytes and more.
    """

    stage_id: ClassVar[str] = "raw"
    dtype: str
    sign_last: bool = later(default=False)

    @portable(by=None)
    def __post_init__(self) -> None:
        if self.dtype not in BYTES:
            raise UsageError(f"raw: unknown dtype {self.dtype!r}{nearest(self.dtype, BYTES)}")
        if self.sign_last and self.dtype not in SIGNED_FLOATS:
            raise UsageError(f"raw: sign_last is for {', '.join(SIGNED_FLOATS)}, not {self.dtype}")

    @classmethod
    def of(cls, dtype: str) -> Raw:
        """Return what stores a type in the fewest bytes."""
        return cls(dtype, sign_last=dtype in SIGNED_FLOATS)

    @property
    def label(self) -> str:
        """``raw fp32``, ``raw int64``."""
        return f"raw {SHORT.get(self.dtype, self.dtype)}"

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return the planes of the elements' bytes: ``data.0``, ``data.1`` ... or ``data``."""
        rows, cols = matrix_shape(shape)
        return byte_planes("data", rows * cols, self.dtype)

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
        if weight.dtype != self._torch_dtype():
            raise UsageError(
                f"{self.label} cannot hold {weight.dtype}: give the tensor's own dtype"
            )
        values = weight.detach().cpu().reshape(-1)
        if self.sign_last:
            elements = values.contiguous().view(torch.uint8).numpy().reshape(-1, values.itemsize)
            values = torch.from_numpy(_rotated(elements, 1).ravel()).view(values.dtype)
        return Quantized(tuple(weight.shape), split_bytes("data", values))

    def dequantize(self, quantized: Quantized) -> Tensor:
        """Put the tensor together again."""
        joined = torch.from_numpy(self.elements(quantized).ravel())
        return joined.view(self._torch_dtype()).reshape(quantized.shape)

    def elements(self, quantized: Quantized) -> Symbols:
        """
        Put the bytes of the elements together, without torch.

        Args:
            quantized: Symbols, perhaps of a stranger.

        Returns:
            uint8, ``(elements, bytes of one)``, the least significant first.

        Raises:
            CorruptError: The parts do not fit the shape.

        """
        check_parts(quantized, self.parts(quantized.shape))
        joined = join_planes("data", quantized.parts, self.dtype)
        return _rotated(joined, 8 * joined.shape[1] - 1) if self.sign_last else joined

    def _torch_dtype(self) -> torch.dtype:
        if self.dtype not in DTYPES:
            raise UsageError(f"raw: this torch is too old for the dtype {self.dtype!r}")
        return DTYPES[self.dtype]


def _rotated(elements: Symbols, bits: int) -> Symbols:
    """Return elements whose bits went so many places up, those in front to the end."""
    size = elements.shape[1]
    whole = elements.view(f"<u{size}")
    turned: Symbols = ((whole << bits) | (whole >> (8 * size - bits))).view(np.uint8)
    return turned
