"""
A pipeline: how the symbols of some parts become one stream of bytes.

::

    parts ─► layout (each) ─► concatenate ─► symbol coder ─► codec ─► stored bytes
                  └─ side information, in front of the stored bytes, uncoded

A symbol coder may see where rows begin and parts end: it is handed a matrix for each part, of
its shape, filled row by row. Most code the symbols of all as one.

The symbols of all parts share one alphabet. Everything a decoder needs beyond
the stored bytes follows from the shapes, except ``coded_bytes``, the size
between symbol coder and codec.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from artpack.coding.codecs import CODECS, STANDARD
from artpack.coding.layouts import LAYOUTS
from artpack.coding.symbol_coders import SYMBOL_CODERS
from artpack.errors import TruncatedError
from artpack.stages import Codec, ConfiguredStage, Layout, SymbolCoder
from artpack.stages.symbols import Symbols


@dataclass(frozen=True)
class Coded:
    """
    One stream of bytes.

    Attributes:
        stored: The bytes as they go into the file, side information first.
        coded_bytes: Size of what the symbol coder made, before the codec.
    """

    stored: bytes
    coded_bytes: int


@dataclass(frozen=True)
class Pipeline(ConfiguredStage):
    """
    A layout, a symbol coder and a codec in a row.

    Attributes:
        layout: The order of each part's symbols.
        coder: Symbols to bytes.
        codec: Bytes to fewer bytes.
    """

    stage_id: ClassVar[str] = "pipeline"
    layout: Layout = field(metadata={"table": LAYOUTS})
    coder: SymbolCoder = field(metadata={"table": SYMBOL_CODERS})
    codec: Codec = field(metadata={"table": CODECS})

    @property
    def label(self) -> str:
        """Ids of the three stages, such as ``rows|rans|stored``."""
        return "|".join(stage.stage_id for stage in (self.layout, self.coder, self.codec))

    @property
    def portable(self) -> bool:
        """Whether Python's standard library and numpy are all that decoding needs."""
        return isinstance(self.codec, STANDARD)

    def encode(self, parts: Sequence[Symbols], *, alphabet: int) -> Coded:
        """
        Turn parts into one stream.

        Args:
            parts: uint8, two-dimensional, every value in ``[0, alphabet)``.
            alphabet: Number of symbols, 1 to 256.

        Returns:
            The stream.

        """
        laid = [self.layout.forward(part) for part in parts]
        matrices = [own.reshape(part.shape) for (_, own), part in zip(laid, parts, strict=True)]
        coded = self.coder.encode_matrices(matrices, alphabet=alphabet)
        stored = b"".join(side for side, _ in laid) + self.codec.encode(coded)
        return Coded(stored, len(coded))

    def decode(
        self, coded: Coded, *, shapes: Sequence[tuple[int, int]], alphabet: int
    ) -> list[Symbols]:
        """
        Undo :meth:`encode`.

        Args:
            coded: What ``encode`` returned.
            shapes: Rows and columns of each part, in the order encoded.
            alphabet: The same number.

        Returns:
            The parts, uint8, of these shapes.

        Raises:
            TruncatedError: The stream ends early.
            CorruptError: The stream does not hold what the shapes promise.

        """
        sides, body = self._cut_sides(coded.stored, shapes)
        data = self.codec.decode(body, size=coded.coded_bytes)
        matrices = self.coder.decode_matrices(data, shapes=shapes, alphabet=alphabet)
        return [
            self.layout.inverse(side, matrix.reshape(-1), shape=shape)
            for side, matrix, shape in zip(sides, matrices, shapes, strict=True)
        ]

    def _cut_sides(
        self, data: bytes, shapes: Sequence[tuple[int, int]]
    ) -> tuple[list[bytes], bytes]:
        sides = []
        at = 0
        # One after another: what a size takes to work out is paid for by bytes that are there.
        for shape in shapes:
            size = self.layout.side_bytes(shape)
            if at + size > len(data):
                raise TruncatedError(f"side information ends early: {len(data)} bytes are there")
            sides.append(data[at : at + size])
            at += size
        return sides, data[at:]
