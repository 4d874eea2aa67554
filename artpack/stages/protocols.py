"""Protocols of what weights go through on their way into a file, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeAlias

from artpack.stages.symbols import PartSpec, Quantized, Symbols

if TYPE_CHECKING:
    from torch import Tensor

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
Config: TypeAlias = dict[str, JsonValue]


class Stage(Protocol):
    """A step with a permanent id and a JSON-able configuration."""

    stage_id: ClassVar[str]
    """Lower case with hyphens; never reused once an artifact has carried it."""

    def config(self) -> Config:
        """Return what rebuilds this stage through ``from_config``."""

    @classmethod
    def from_config(cls, config: Config, *, where: str = "") -> Self:
        """Rebuild a stage from its configuration; ``where`` it stands, for messages."""


class Quantizer(Stage, Protocol):
    """Weights to symbols and back; lossy unless it says otherwise."""

    @property
    def label(self) -> str:
        """Short name of the grid for tables, such as ``int6``."""

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return the parts that a tensor of this shape is stored as, in order."""

    def quantize(self, weight: Tensor) -> Quantized:
        """Turn a finite tensor into symbols."""

    def dequantize(self, quantized: Quantized) -> Tensor:
        """
        Turn symbols back into weights.

        Args:
            quantized: What :meth:`quantize` returns, or what a stranger says it did.

        Returns:
            fp32, of ``quantized.shape``, every value finite; :class:`~artpack.quantize.Raw`
            returns its own dtype, bit for bit.

        Raises:
            CorruptError: The parts do not fit the shape, or hold impossible values.

        """


class Layout(Stage, Protocol):
    """The order in which the symbols of one part are coded: a bijection."""

    def side_bytes(self, shape: tuple[int, int]) -> int:
        """Return how many bytes of side information ``inverse`` needs."""

    def forward(self, symbols: Symbols) -> tuple[bytes, Symbols]:
        """Return side information and the reordered symbols, one-dimensional."""

    def inverse(self, side: bytes, symbols: Symbols, *, shape: tuple[int, int]) -> Symbols:
        """Return the symbols in their own order and shape."""


class SymbolCoder(Stage, Protocol):
    """Symbols to bytes: packing and entropy coding alike."""

    def accepts(self, alphabet: int) -> bool:
        """Return whether symbols of this alphabet can be coded."""

    def encode(self, symbols: Symbols, *, alphabet: int) -> bytes:
        """Code one-dimensional symbols."""

    def decode(self, data: bytes, *, alphabet: int, count: int) -> Symbols:
        """Decode exactly ``count`` symbols that use up ``data`` exactly."""

    def encode_matrices(self, matrices: Sequence[Symbols], *, alphabet: int) -> bytes:
        """Code two-dimensional symbols, several matrices of them."""

    def decode_matrices(
        self, data: bytes, *, shapes: Sequence[tuple[int, int]], alphabet: int
    ) -> list[Symbols]:
        """Decode matrices of exactly these shapes that use up ``data`` exactly."""


class Codec(Stage, Protocol):
    """Bytes to bytes."""

    def encode(self, data: bytes) -> bytes:
        """Compress any bytes; the same bytes always give the same stream."""

    def decode(self, data: bytes, *, size: int) -> bytes:
        """
        Decompress to exactly ``size`` bytes, never allocating much more.

        Args:
            data: What :meth:`encode` returned, or what a stranger says it did.
            size: Number of bytes before encoding.

        Returns:
            ``size`` bytes.

        Raises:
            TruncatedError: The stream ends early.
            CorruptError: It is no such stream, holds another number of bytes, or something
                follows it.

        """
