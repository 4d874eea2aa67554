"""
The constants of the adaptive coder, all of them integers that are computed exactly.

Needs numpy alone, as all that a decoder without numba needs.
"""

from functools import cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

TOTAL_BITS = 12
TOTAL = 1 << TOTAL_BITS
"""All frequencies of a table sum to this."""

PLACE_BITS = 3
"""Codes are found by all bits of a place in the table but so many."""

CODES = 256
CENTRE = 128
"""The code of the point nearest to 0: codes are ``k + CENTRE``."""

ESCAPE = CODES - 1
"""Stands for whatever has no frequency."""

LOWEST_OCTAVE = -8
BUCKETS = 22 * 4
"""Mean squares of points that are told apart: four to an octave, from ``2**-8`` to ``2**14``."""

MOST_FEW, LEANINGS = 8, 4
"""A column has seen few rows below the first; so many degrees of a mean other than 0 there are."""

TREND_ROWS = 8
"""So often it is found out anew which columns have a mean other than 0."""

CONTEXTS = 2 + LEANINGS
SYMBOL_TABLES = CONTEXTS * BUCKETS * 2
CLASS_TABLE = SYMBOL_TABLES
TABLES = SYMBOL_TABLES + 1

COUNT = 1 << 13
"""The weight of a symbol that was seen."""

PRIOR, CLASS_PRIOR = 128 * COUNT, 16 * COUNT
"""What is expected weighs as much as so many symbols."""

ESCAPE_WEIGHT = COUNT >> 6
WEIGHT_BITS = 51

LOWEST_CLASS, HIGHEST_CLASS = -7 * 8, 16 * 8
"""How far above its columns a row can lie, in eighths of an octave."""

SQUARE_BITS = 16
"""Mean squares of columns are in units of ``2**-16``."""

LARGEST_SQUARE = 1 << 28

_MIXTURE = ((-4, 10), (0, 20), (4, 10), (8, 1))
"""A symbol is expected to have the spread of buckets so far away with these weights."""

_GAUSSIAN = 47274
"""``floor(2**16 * log2(e) / 2)``: the logarithm of a density falls by so much with the square."""


def power(sixteenths: int) -> int:
    """Return ``floor(2**(sixteenths / 16))``; nested floors of roots are the floor of the root."""
    value = 1 << sixteenths
    for _ in range(4):
        value = isqrt(value)
    return value


_POWERS: Integers = np.array([power(480 - i) for i in range(480)] + [0], np.int64)
"""``floor(2**(30 - i / 16))``, at last 0."""

_CLASSES = range(LOWEST_CLASS, HIGHEST_CLASS + 1)

RAISING = np.array([power(2 * (15 * 8 + i)) for i in _CLASSES], np.uint32)
"""By what a class multiplies mean squares, in units of ``2**-15``."""

LOWERING = np.array([power(2 * (24 * 8 - i)) for i in _CLASSES], np.uint32)
"""By what it divides them, in units of ``2**-24``."""

LOWERING_ROOTS = np.array([power(16 * 16 - i) for i in _CLASSES], np.int32)
"""By what it divides points, in units of ``2**-16``."""

PRIOR_ROWS = (2, 5, 12)
"""What is expected of a column counts as much as so many rows, less one: a choice."""

RATES = np.array(
    [[(1 << SQUARE_BITS) // (row + prior) for row in range(256)] for prior in PRIOR_ROWS],
    np.uint64,
)
"""How far a column's mean square moves with its next row, in units of ``2**-16``."""


@cache
def priors(spacing: int) -> Integers:
    """
    Return how often each code is expected.

    Args:
        spacing: Distance of two points, 1 or 2.

    Returns:
        int64, shape ``(2 * BUCKETS + 1, CODES)``, read-only: a row for each bucket and parity,
        and one for classes; sums of about ``PRIOR`` and ``CLASS_PRIOR``.

    """
    offsets = np.arange(CODES) - CENTRE
    points = spacing * offsets[None, :] + np.arange(2)[:, None]
    narrow = np.stack([_gaussian(points, bucket) for bucket in range(BUCKETS)])
    mixed = np.zeros_like(narrow)
    for distance, weight in _MIXTURE:
        mixed += weight * narrow[np.clip(np.arange(BUCKETS) + distance, 0, BUCKETS - 1)]
    rows = mixed * PRIOR // (mixed.sum(axis=2, keepdims=True) + 1)
    steps = _POWERS[8 * np.minimum(np.abs(offsets), 60)]
    table: Integers = np.vstack([rows.reshape(-1, CODES), CLASS_PRIOR * steps // steps.sum()])
    table[:, ESCAPE] = 0
    table.flags.writeable = False
    return table


def _gaussian(points: Integers, bucket: int) -> Integers:
    """Return densities at points of both parities, each parity's sum about ``2**24``."""
    octave, quarter = bucket // 4 + LOWEST_OCTAVE, bucket % 4
    # The middle of a bucket is (9 + 2 * quarter) / 8 octaves.
    falls = points * points * (_GAUSSIAN * 128) // (9 + 2 * quarter) >> (16 + octave)
    falls -= falls.min(axis=1, keepdims=True)
    densities = _POWERS[np.minimum(falls, 480)]
    weights: Integers = (densities << 24) // densities.sum(axis=1, keepdims=True)
    return weights


def class_bits(cols: int) -> int:
    """
    Return how finely the energy of a row of so many columns is told.

    Args:
        cols: Columns of the matrix.

    Returns:
        The logarithm of the number of classes in an octave, 0 to 3.

    """
    return sum(cols > limit for limit in (100, 400, 1600))


def class_rows(cols: int) -> int:
    """
    Return how many rows have a class together, so that there are some 32 symbols to it.

    Args:
        cols: Columns of the matrix.

    Returns:
        1 or more.

    """
    return max(1, 32 // cols)


def masked_priors(alphabet: int, spacing: int) -> Integers:
    """
    Return how often each code is expected, codes of no symbol never.

    Args:
        alphabet: Symbols are below it.
        spacing: Distance of two points, 1 or 2.

    Returns:
        int64, as :func:`priors` returns it.

    """
    expected = priors(spacing).copy()
    lowest = CENTRE - alphabet // 2
    expected[:-1, :lowest] = 0
    expected[:-1, lowest + alphabet :] = 0
    return expected


def symbols_until_refined(seen: int) -> int:
    """
    Return how many more symbols are coded before tables are refined.

    Args:
        seen: How many were coded.

    Returns:
        256 or more.

    """
    return max(256, seen >> 3)
