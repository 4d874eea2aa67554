"""
Symbols, and how a quantized tensor is made of them.

A quantized tensor is a few *parts*, each a two-dimensional array of small
unsigned integers: the codes, the scales, whatever else its grid needs. What
parts there are follows from the quantizer and the tensor's shape alone
(:class:`PartSpec`), so a file need not say it and a reader always knows how
many symbols to expect.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artpack.system.jit import jit, portable

Symbols = NDArray[np.uint8]
"""Unsigned 8-bit symbols, every value below its alphabet."""

MAX_ALPHABET = 256

_MANY, _TABLES = 1 << 16, 4


@dataclass(frozen=True)
class PartSpec:
    """
    Name, shape and alphabet of one part of a quantized tensor.

    Attributes:
        name: Unique within the tensor: ``codes``, ``scales``.
        rows: Number of rows, 0 or more.
        cols: Number of columns, 0 or more.
        alphabet: Symbols are in ``[0, alphabet)``; 1 to 256.
        states: Of the trellis that runs down each column, 1 for none: a hint to the coder.
    """

    name: str
    rows: int
    cols: int
    alphabet: int
    states: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.cols


@dataclass(frozen=True)
class Quantized:
    """
    A tensor as symbols.

    Attributes:
        shape: Shape of the weight tensor that this stands for.
        parts: Part name to symbols, uint8, of the shape that the quantizer's
            ``parts(shape)`` gives.
    """

    shape: tuple[int, ...]
    parts: Mapping[str, Symbols]


def histogram(symbols: Symbols, alphabet: int) -> NDArray[np.int64]:
    """
    Count how often each symbol occurs.

    Args:
        symbols: uint8, any shape, every value in ``[0, alphabet)``.
        alphabet: Number of symbols.

    Returns:
        int64, shape ``(alphabet,)``.

    >>> histogram(np.array([[2, 0], [2, 1]], np.uint8), 4).tolist()
    [1, 1, 2, 0]

    """
    flat = symbols.reshape(-1)
    if flat.size < _MANY:
        few: NDArray[np.int64] = np.bincount(flat, minlength=alphabet).astype(np.int64)
        return few
    counts = np.zeros((_TABLES, MAX_ALPHABET), np.int64)
    _count(flat, counts)
    total: NDArray[np.int64] = counts.sum(axis=0)[:alphabet]
    return total


def _count_plainly(symbols: Symbols, counts: NDArray[np.int64]) -> None:
    counts[0] += np.bincount(symbols, minlength=MAX_ALPHABET)


@portable(by=_count_plainly)
@jit(nogil=True)
def _count(symbols: Symbols, counts: NDArray[np.int64]) -> None:
    """Count in several tables, so that equal neighbours do not wait for each other."""
    whole = len(symbols) // _TABLES * _TABLES
    for start in range(0, whole, _TABLES):
        for table in range(_TABLES):
            counts[table, symbols[start + table]] += 1
    for symbol in symbols[whole:]:
        counts[0, symbol] += 1
