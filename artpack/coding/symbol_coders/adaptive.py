"""Coding that learns how large each symbol will be from those above it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from artpack.coding.adaptive.matrices import decode_matrices, encode_matrices
from artpack.coding.symbol_coders.checked_coder import CheckedCoder
from artpack.stages.symbols import Symbols
from artpack.stages.trellis import trellis


@dataclass(frozen=True)
class Adaptive(CheckedCoder):
    """
    Far below the order-0 entropy where rows and columns have scales of their own.

    Weights scale like outer products: a decoder that has some symbols of a column, and is
    told a class of the next row's energy, 2 to 5 bits, knows how large its next symbol will
    be. No tables are sent. All symbols of a row have known distributions before any of them
    is decoded, so that they are coded side by side. Matrices that are coded together
    share what was learned about distributions, not what was learned about columns.

    Attributes:
        states: The trellis that runs down each column, 1 for none: see
            :mod:`artpack.stages.trellis`. Symbols less ``alphabet // 2`` are its ``k``.

    >>> from artpack.coding.symbol_coders import Rans
    >>> draw = np.random.default_rng(0)
    >>> scales = np.exp(0.5 * draw.normal(size=(200, 1))) * np.exp(0.5 * draw.normal(size=200))
    >>> matrix = (3 * scales * draw.normal(size=(200, 200))).round().clip(-31, 31) + 31
    >>> symbols = matrix.astype(np.uint8)
    >>> len(Rans().encode(symbols.ravel(), alphabet=63))
    19934
    >>> len(Adaptive().encode_matrices([symbols], alphabet=63))
    18274

    Source: Giesen, "Interleaved entropy coders" (2014), for the lanes; the model is this
    project's own.

    """

    stage_id: ClassVar[str] = "adaptive"
    states: int = 1

    def __post_init__(self) -> None:
        trellis(self.states)

    def encode_matrices(self, matrices: Sequence[Symbols], *, alphabet: int) -> bytes:
        """Code matrices one after the other: where rows begin and columns end matters here."""
        for matrix in matrices:
            self.check(matrix.reshape(-1), alphabet)
        whole = [np.require(matrix, np.uint8, ["C", "W"]) for matrix in matrices]
        return encode_matrices(whole, alphabet=alphabet, states=self.states)

    def decode_matrices(
        self, data: bytes, *, shapes: Sequence[tuple[int, int]], alphabet: int
    ) -> list[Symbols]:
        """Undo :meth:`encode_matrices`."""
        return decode_matrices(data, shapes=shapes, alphabet=alphabet, states=self.states)

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:
        return self.encode_matrices([symbols.reshape(1, -1)], alphabet=alphabet)

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:
        return self.decode_matrices(data, shapes=[(1, count)], alphabet=alphabet)[0].reshape(-1)
