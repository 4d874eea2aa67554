"""
What is known of columns: how large their next symbols will be, and on which side of zero.

A column has a running mean of the squares of its points, each divided by the energy of its
row's class; multiplied by that of the next row, it says which table the next symbol is coded
with. All of it is known before the row is, so the symbols of a row are independent.

All functions take slices of the same columns and run in vectors.
"""

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.tables import (
    BUCKETS,
    LARGEST_SQUARE,
    MOST_FEW,
    SQUARE_BITS,
)
from artpack.system.jit import jit

Whole = NDArray[np.int32]
Unsigned = NDArray[np.uint32]

_LOW = np.uint64((1 << 32) - 1)


@jit(nogil=True)
def find_tables(  # noqa: PLR0917 - numba knows no keywords
    squares: Unsigned,
    raising: Unsigned,
    contexts: Whole,
    parities: Whole,
    scratch: NDArray[np.float32],
    ids: Whole,
) -> None:
    """Find the table of each column's next symbol."""
    for i in range(len(ids)):
        expected = np.uint64(squares[i]) * np.uint64(raising[i]) >> np.uint64(21)
        scratch[i] = np.float32(np.int32(min(expected, np.uint64((1 << 24) - 1))))
    exponents = scratch.view(np.int32)
    for i in range(len(ids)):
        # Exponent and two more bits of a float32, which is exact: four buckets to an octave.
        bucket = max((exponents[i] >> np.int32(21)) - np.int32((127 + 2) << 2), np.int32(0))
        ids[i] = contexts[i] + np.int32(2) * bucket + parities[i]


@jit(nogil=True)
def learn(  # noqa: PLR0917 - numba knows no keywords
    squares: Unsigned,
    sums: Whole,
    points: Whole,
    lowering: Unsigned,
    lowering_roots: Whole,
    rate: np.uint64,
) -> None:
    """Learn from a row's points."""
    kept = np.uint64(1 << 16) - rate
    for i in range(len(points)):
        point = points[i]
        sums[i] += point * lowering_roots[i] >> np.int32(8)
        square = np.uint64(np.uint32(point * point))
        lowered = min(square * np.uint64(lowering[i]) >> np.uint64(8), np.uint64(LARGEST_SQUARE))
        mean = np.uint64(squares[i]) * kept + (lowered & _LOW) * rate >> np.uint64(SQUARE_BITS)
        squares[i] = np.uint32(mean)


@jit(nogil=True)
def find_contexts(
    squares: Unsigned, sums: Whole, contexts: Whole, flipped: Whole, rows: int
) -> None:
    """Find the contexts of columns of which so many rows are known, a multiple of 8."""
    if rows < MOST_FEW:
        return
    known = min(rows, 256)
    for i in range(len(sums)):
        mean, square = np.int64(sums[i]) ** 2, np.int64(squares[i]) * known * known
        leaning = np.int32(12 * mean >= square) + np.int32(6 * mean >= square)
        leaning += np.int32(3 * mean >= square) + np.int32(3 * mean >= 2 * square)
        leaning = leaning if mean else np.int32(0)
        contexts[i] = np.int32(2 * BUCKETS) * (np.int32(1) + leaning)
        flipped[i] = np.int32(leaning > 0 and sums[i] < 0)
        if rows >= 256:
            sums[i] -= sums[i] >> np.int32(5)


@jit(nogil=True)
def step_states(states: Whole, parities: Whole, offsets: Whole, taps: Whole) -> None:
    """
    Go on to the next states of the trellis, and the parities of their points.

    ``taps`` are the number of states less one, the number of the parity's bit, and what an odd
    parity and an odd symbol change.
    """
    mask, bit, of_parity, of_symbol = taps
    for i in range(len(states)):
        parity = parities[i]
        state = (states[i] << np.int32(1)) & mask | parity
        state ^= of_parity & -parity ^ of_symbol & -(offsets[i] & np.int32(1))
        states[i] = state
        parities[i] = state >> bit & np.int32(1)
