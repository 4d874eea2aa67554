"""Arithmetic coding that learns how large each symbol will be from those before it."""

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

    A decoder that has some symbols of a row and of a column knows about how large the
    next one is: weights scale like outer products. Nothing is sent ahead, neither
    tables nor scales. Matrices that are coded together share what was learned about
    distributions, not what was learned about columns.

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
    18414

    Source: binary arithmetic coding of Mahoney's lpaq (2007), with contexts of
    variance in place of those of text.

    """

    stage_id: ClassVar[str] = "adaptive"
    states: int = 1

    def __post_init__(self) -> None:
        trellis(self.states)

    def encode_matrices(self, matrices: Sequence[Symbols], *, alphabet: int) -> bytes:
        """
        Code matrices one after the other.

        Args:
            matrices: uint8, two-dimensional.
            alphabet: All symbols are below it.

        Returns:
            The bytes.

        Raises:
            UsageError: The alphabet is impossible, or a symbol not below it.

        """
        for matrix in matrices:
            self.check(matrix.reshape(-1), alphabet)
        whole = [np.require(matrix, np.uint8, ["C", "W"]) for matrix in matrices]
        return encode_matrices(whole, alphabet=alphabet, states=self.states)

    def decode_matrices(
        self, data: bytes, *, shapes: Sequence[tuple[int, int]], alphabet: int
    ) -> list[Symbols]:
        """
        Undo :meth:`encode_matrices`.

        Args:
            data: Exactly what was returned.
            shapes: Rows and columns of each matrix.
            alphabet: The same number.

        Returns:
            The matrices.

        Raises:
            CorruptError: No matrices of these shapes encode to ``data``.
            TruncatedError: The same, because ``data`` ends early.

        """
        return decode_matrices(data, shapes=shapes, alphabet=alphabet, states=self.states)

    def _encode(self, symbols: Symbols, alphabet: int) -> bytes:
        return self.encode_matrices([symbols.reshape(1, -1)], alphabet=alphabet)

    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols:
        return self.decode_matrices(data, shapes=[(1, count)], alphabet=alphabet)[0].reshape(-1)
