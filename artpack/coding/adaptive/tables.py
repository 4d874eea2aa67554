"""
The constants of the adaptive coder: floors of real numbers, and integers made of these.

Everything here is exact, so every machine has the same tables.
"""

from functools import cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

FRACTION_BITS = 8
"""Logarithms to base 2 are in units of ``2**-8``."""

POWER_BITS = 30
"""Negative powers of two are in units of ``2**-30``."""

BUCKETS_PER_OCTAVE = 4
LOWEST_OCTAVE = -8
BUCKETS = 25 * BUCKETS_PER_OCTAVE
"""Energies that are told apart: from ``2**-8`` to ``2**17``, the mean square of a point."""

MAX_SHIFT = 4
CELLS = 32
"""Cells of magnitudes with a node of their own; the last one stands for all beyond it too."""

REFINED_CELLS = 8
ZERO_NODE, SIGN_NODE, CELL_NODES, REFINING_NODES = 0, 1, 2, 2 + CELLS
NODES = REFINING_NODES + (REFINED_CELLS << MAX_SHIFT)

COUNT_BITS = 10
PROBABILITY_BITS = 22
"""A slot holds a probability in units of ``2**-22`` above a count of what it has seen."""

FIRST_COUNT = 8
"""How much a probability of a Gaussian counts for, in symbols seen."""

LEAST = 1 << 12
"""No probability begins closer to 0 or 1, in units of ``2**-22``."""

# The nested floors of square roots are the floor of the root of the order 2**8.
_POWERS = [1 << (POWER_BITS << FRACTION_BITS) >> i for i in range(1 << FRACTION_BITS)]
for _ in range(FRACTION_BITS):
    _POWERS = [isqrt(power) for power in _POWERS]

POWERS: Integers = np.array(_POWERS, np.int64)
"""``floor(2**(30 - i / 256))``."""

LOGARITHMS: Integers = np.array(
    [((256 + i) ** 256).bit_length() - 1 - 8 * 256 for i in range(256)], np.int64
)
"""``floor(256 * log2(1 + i / 256))``."""

RATES: Integers = np.array([(1 << 17) // (2 * count + 3) for count in range(1 << COUNT_BITS)])
"""How far a probability moves with the next bit, in units of ``2**-16``."""

_GAUSSIAN = 47274
"""``floor(2**16 * log2(e) / 2)``: the logarithm of a density falls by so much with the square."""


@cache
def shifts(spacing: int) -> Integers:
    """
    Return how many low bits of a magnitude are coded after its cell, for each bucket.

    Args:
        spacing: Distance of two points.

    Returns:
        int64, 0 to ``MAX_SHIFT``: so that a spread is 2.8 to 5.7 cells.

    """
    exponents = np.arange(BUCKETS) // BUCKETS_PER_OCTAVE + LOWEST_OCTAVE - 2 * (spacing - 1)
    table: Integers = np.clip((exponents - 3) // 2, 0, MAX_SHIFT)
    table.flags.writeable = False
    return table


@cache
def first_slots(spacing: int) -> NDArray[np.uint32]:
    """
    Return the initial probabilities of the coder: those of Gaussians.

    Args:
        spacing: Distance of two points, 1 or 2.

    Returns:
        uint32, shape ``(BUCKETS, 2, NODES)``, read-only: a slot for each bucket of
        energy, parity and node.

    """
    slots = np.zeros((BUCKETS, 2, NODES), np.uint32)
    for bucket, shift in enumerate(shifts(spacing).tolist()):
        for parity in range(2):
            slots[bucket, parity] = _believe(_weights(bucket, spacing, parity), parity, shift)
    slots.flags.writeable = False
    return slots


def _weights(bucket: int, spacing: int, parity: int) -> Integers:
    """Return a Gaussian's density at the points above 0, in units of ``2**-30``, 1 or more."""
    points = spacing * np.arange(CELLS << MAX_SHIFT) + (parity or spacing)
    quarters = bucket + LOWEST_OCTAVE * BUCKETS_PER_OCTAVE
    power = int(POWERS[64 * quarters % 256]) >> 14
    exponents = points * points * (_GAUSSIAN * power) >> (24 + quarters // 4)
    weights: Integers = POWERS[exponents % 256] >> np.minimum(exponents // 256, POWER_BITS)
    return np.maximum(1, weights)


def _believe(weights: Integers, parity: int, shift: int) -> NDArray[np.uint32]:
    """Turn the densities on one side into the slots of all nodes."""
    ones, totals = np.ones(NODES, np.int64), np.full(NODES, 2, np.int64)
    if parity == 0:
        ones[ZERO_NODE] = POWERS[0]
        totals[ZERO_NODE] = POWERS[0] + 2 * weights.sum()
    cells = weights.reshape(-1, 1 << shift)
    tails = np.append(cells.sum(axis=1)[::-1].cumsum()[::-1], 0)
    ones[CELL_NODES:REFINING_NODES] = tails[1 : CELLS + 1]
    totals[CELL_NODES:REFINING_NODES] = tails[:CELLS]
    for depth in range(shift):
        halves = cells[:REFINED_CELLS].reshape(REFINED_CELLS, 1 << depth, 2, -1).sum(axis=3)
        for cell in range(REFINED_CELLS):
            first = REFINING_NODES + (cell << MAX_SHIFT) + (1 << depth)
            ones[first : first + (1 << depth)] = halves[cell, :, 1]
            totals[first : first + (1 << depth)] = halves[cell].sum(axis=1)
    chances = (ones << PROBABILITY_BITS) // totals
    chances = np.clip(chances, LEAST, (1 << PROBABILITY_BITS) - LEAST)
    slots: NDArray[np.uint32] = (chances << COUNT_BITS | FIRST_COUNT).astype(np.uint32)
    return slots
