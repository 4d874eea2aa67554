"""Promises of every symbol coder, checked in one place."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar

import numpy as np

from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.stages import ConfiguredStage
from artpack.stages.symbols import MAX_ALPHABET, Symbols


class CheckedCoder(ConfiguredStage, ABC):
    """
    Keeps the checks of a symbol coder out of its code.

    A coder made from this writes ``_encode`` and ``_decode``. ``_decode`` meets
    arbitrary bytes: it raises on every input that ``_encode`` does not make,
    except that symbols beyond the alphabet are caught here.
    """

    max_alphabet: ClassVar[int] = MAX_ALPHABET

    def accepts(self, alphabet: int) -> bool:
        """
        Say whether symbols of this alphabet can be coded.

        Args:
            alphabet: Symbols are in ``[0, alphabet)``.

        Returns:
            True for 1 to the largest alphabet that the coder has room for.

        """
        return 1 <= alphabet <= self.max_alphabet

    def encode(self, symbols: Symbols, *, alphabet: int) -> bytes:
        """
        Code symbols; the same symbols always give the same bytes.

        Args:
            symbols: uint8, one-dimensional, any length.
            alphabet: All symbols are below it; one that the coder accepts.

        Returns:
            The bytes. No strict prefix of them can be decoded.

        Raises:
            UsageError: The coder does not take this alphabet, or the symbols
                are not one-dimensional uint8 below it.

        """
        self.check(symbols, alphabet)
        return self._encode(symbols, alphabet)

    def check(self, symbols: Symbols, alphabet: int) -> None:
        """
        Refuse what cannot be coded.

        Args:
            symbols: What is to be coded.
            alphabet: All symbols must be below it.

        Raises:
            UsageError: The coder does not take this alphabet, or the symbols
                are not one-dimensional uint8 below it.

        """
        if not self.accepts(alphabet):
            raise UsageError(f"{self.stage_id}: {self._out_of_room(alphabet)}")
        if symbols.ndim != 1 or symbols.dtype != "uint8":
            raise UsageError(
                f"{self.stage_id}: symbols must be one-dimensional uint8,"
                f" got {symbols.ndim}-dimensional {symbols.dtype}"
            )
        if symbols.size and symbols.max() >= alphabet:
            raise UsageError(
                f"{self.stage_id}: symbol {symbols.max()} is not below the alphabet {alphabet}"
            )

    def decode(self, data: bytes, *, alphabet: int, count: int) -> Symbols:
        """
        Undo ``encode``.

        Args:
            data: Exactly what ``encode`` returned.
            alphabet: As it was given to ``encode``.
            count: How many symbols to expect, 0 or more.

        Returns:
            uint8, ``(count,)``.

        Raises:
            CorruptError: No symbols of this alphabet and count encode to
                ``data``.
            TruncatedError: The same, because ``data`` ends early.

        """
        if not self.accepts(alphabet):
            raise CorruptError(f"{self.stage_id}: {self._out_of_room(alphabet)}")
        symbols = self._decode(data, alphabet, count)
        if count and symbols.max() >= alphabet:
            raise CorruptError(
                f"{self.stage_id}: symbol {symbols.max()} is not below the alphabet {alphabet}"
            )
        return symbols

    def encode_matrices(self, matrices: Sequence[Symbols], *, alphabet: int) -> bytes:
        """
        Code the symbols of matrices one after the other.

        Args:
            matrices: uint8, two-dimensional.
            alphabet: All symbols are below it; one that the coder accepts.

        Returns:
            The bytes.

        Raises:
            UsageError: The coder does not take this alphabet, or a symbol is not below it.

        """
        symbols = np.concatenate([np.zeros(0, np.uint8), *(one.reshape(-1) for one in matrices)])
        return self.encode(symbols, alphabet=alphabet)

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
        ends = list(accumulate(rows * cols for rows, cols in shapes))
        count = ends[-1] if ends else 0
        symbols = self.decode(data, alphabet=alphabet, count=count)
        if symbols.size != count:
            raise CorruptError(f"{symbols.size} symbols decoded, {count} expected")
        starts = [0, *ends]
        return [
            symbols[start:end].reshape(shape)
            for start, end, shape in zip(starts, ends, shapes, strict=False)
        ]

    @abstractmethod
    def _encode(self, symbols: Symbols, alphabet: int) -> bytes: ...

    @abstractmethod
    def _decode(self, data: bytes, alphabet: int, count: int) -> Symbols: ...

    def _out_of_room(self, alphabet: int) -> str:
        return f"the alphabet must be 1 to {self.max_alphabet}, got {alphabet}"


def check_size(data: bytes, size_bytes: int) -> None:
    """
    Refuse data of any other size.

    Args:
        data: What there is.
        size_bytes: What there should be.

    Raises:
        TruncatedError: There is less.
        CorruptError: There is more.

    """
    if len(data) < size_bytes:
        raise TruncatedError(f"coded symbols end early: {len(data)} of {size_bytes} bytes")
    if len(data) > size_bytes:
        raise CorruptError(f"coded symbols leave {len(data) - size_bytes} bytes over")
