"""
What contexts and repeats would save: the signs that a byte codec may beat an entropy coder.

Entropy coders here see how large symbols are, by row, by column or by run. What they do not
see are symbols that depend on the ones before them, and rows that occur again.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artpack.stages.symbols import MAX_ALPHABET, Symbols
from artpack.system.jit import jit

PAIRS = 1 << 12
"""Contexts of two symbols that are told apart."""

PRIOR = 16.0
"""For how many symbols seen in a context the expectation of a shorter one counts."""


WIDE = 16
"""Symbols in a row."""

COMPARED_ROWS, COMPARED_COLUMNS, PROBED_ROWS = 1 << 12, 64, 32
"""Rows and columns that are compared, at most, and rows that they are compared with."""


class ContextBits(NamedTuple):
    """
    Code lengths of the same symbols.

    Attributes:
        without: Under the frequencies of the symbols so far, in bits.
        within: Under those in contexts of one or two symbols, whichever is less.
    """

    without: float
    within: float


def context_bits(symbols: Symbols) -> ContextBits:
    """
    Measure how much less symbols take where those before them are known.

    Args:
        symbols: uint8, one-dimensional, in the order that they would be coded in.

    Returns:
        Lengths of adaptive codes, what is to be learned included.

    >>> low, high = context_bits(np.tile(np.array([1, 5, 2], np.uint8), 2000))[::-1]
    >>> low < 0.2 * high
    True

    """
    zero, one, two = _lengths(symbols)
    return ContextBits(zero, min(one, two))


@jit(nogil=True)
def _lengths(symbols: Symbols) -> tuple[float, float, float]:
    """Return the bits that symbols take with no context, with one and with two symbols of it."""
    size = MAX_ALPHABET
    none = np.full(size, np.float32(0.5))
    singles, pairs = np.zeros((size, size), np.float32), np.zeros((PAIRS, size), np.float32)
    single_sums, pair_sums = np.zeros(size, np.float32), np.zeros(PAIRS, np.float32)
    last, pair, total = 0, 0, 0.5 * size
    bits = np.zeros(3)
    for symbol in symbols:
        zero = none[symbol] / total
        one = (singles[last, symbol] + PRIOR * zero) / (single_sums[last] + PRIOR)
        two = (pairs[pair, symbol] + PRIOR * one) / (pair_sums[pair] + PRIOR)
        bits[0] -= np.log2(zero)
        bits[1] -= np.log2(one)
        bits[2] -= np.log2(two)
        none[symbol] += 1
        total += 1
        singles[last, symbol] += 1
        single_sums[last] += 1
        pairs[pair, symbol] += 1
        pair_sums[pair] += 1
        pair = ((last * 40503 + symbol * 2654435761) >> 16) % PAIRS
        last = symbol
    return bits[0], bits[1], bits[2]


def repeated_rows(parts: tuple[Symbols, ...]) -> float:
    """
    Return the share of rows that occurred before.

    Args:
        parts: uint8, two-dimensional.

    Returns:
        0 to 1; rows of fewer than ``WIDE`` symbols repeat by chance and do not count.

    """
    wide = (part for part in parts if part.shape[1] >= WIDE)
    rows = [row for part in wide for row in part]
    return 1 - len({row.tobytes() for row in rows}) / len(rows) if rows else 0.0


def row_distance(part: Symbols) -> float:
    """
    Tell whether some rows resemble each other.

    To each of a few rows the nearest is found by some columns, and judged by others: where
    rows are independent it is no nearer there than any row. Distances are relative, so that
    rows of small numbers are not near to each other for that alone.

    Args:
        part: uint8, two-dimensional.

    Returns:
        The mean distance of nearest rows over that of all: about 1 if none resemble each
        other, and less if some do. 1 where there are too few rows or columns to tell.

    """
    stride = -(-part.shape[0] // COMPARED_ROWS)
    some = part[::stride, :: -(-part.shape[1] // (2 * COMPARED_COLUMNS))].astype(np.int16)
    if min(some.shape) < 2 * WIDE:
        return 1.0
    found_by, judged_by = some[:, ::2], some[:, 1::2]
    nearest = total = 0.0
    for row in np.linspace(0, len(some) - 1, PROBED_ROWS).astype(int):
        found, judged = _distances(found_by, row), _distances(judged_by, row)
        found[row] = np.inf
        nearest += float(judged[found.argmin()])
        total += float(judged.sum()) / (len(some) - 1)
    return nearest / total if total else 1.0


def _distances(rows: NDArray[np.int16], row: int) -> NDArray[np.float64]:
    """Return how far each row is from one of them, as a share of how large the two are."""
    sizes = np.abs(rows - np.int16(np.median(rows))).sum(axis=1)
    distances: NDArray[np.float64] = np.abs(rows - rows[row]).sum(axis=1) / np.maximum(
        1, sizes + sizes[row]
    )
    return distances
