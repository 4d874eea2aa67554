"""Tensors kept as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from artpack.errors import UsageError
from artpack.quantize.matrix_view import matrix_shape
from artpack.quantize.parts import byte_planes, check_parts, join_bytes, split_bytes
from artpack.stages import ConfiguredStage, nearest
from artpack.stages.dtypes import BYTES
from artpack.stages.symbols import PartSpec, Quantized
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
        if self.dtype not in BYTES:
            raise UsageError(f"raw: unknown dtype {self.dtype!r}{nearest(self.dtype, BYTES)}")

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
        return Quantized(tuple(weight.shape), split_bytes("data", weight.detach().cpu()))

    def dequantize(self, quantized: Quantized) -> Tensor:
        """Put the tensor together again."""
        check_parts(quantized, self.parts(quantized.shape))
        joined = join_bytes("data", quantized.parts, self._torch_dtype())
        return joined.reshape(quantized.shape)

    def _torch_dtype(self) -> torch.dtype:
        if self.dtype not in DTYPES:
            raise UsageError(f"raw: this torch is too old for the dtype {self.dtype!r}")
        return DTYPES[self.dtype]
