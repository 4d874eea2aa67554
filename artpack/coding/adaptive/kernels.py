"""
One matrix of symbols, coded or decoded: the same kernel does both.

A symbol stands for a point of a trellis. How large it will be is guessed from the
points before it in its row and in its column; bit by bit it is then coded with the
probabilities that guesses of this kind have led to so far.

``k`` is a symbol less the centre. Logarithms are in units of ``2**-8`` doublings, sums of
energies (squares of points) in units of ``2**-16``. All of it is in one file because
Numba's cache looks no further. What is done for each bit is inlined and hands the coder on as
a value: so it stays in registers, for a third less time.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.coding.adaptive.tables import (
    BUCKETS,
    CELL_NODES,
    CELLS,
    COUNT_BITS,
    LOGARITHMS,
    LOWEST_OCTAVE,
    MAX_SHIFT,
    POWERS,
    RATES,
    REFINED_CELLS,
    REFINING_NODES,
    SIGN_NODE,
    ZERO_NODE,
    Integers,
)
from artpack.stages.symbols import Symbols
from artpack.system.jit import jit

Slots: TypeAlias = NDArray[np.uint32]

ENERGY, COUNT, ROWS, ROW_LOGARITHM, ROW_VARIANCE, ROW_PRIOR = range(6)
"""
Of the rows so far: energy and number of their points; how many there were; mean and mean
square deviation of their logarithms; and as how many points the expectation of a row counts.
"""

FIRST_PRIOR = 10
MOST_PRIOR = 1 << 12
SAMPLING = 272652
"""``floor(2**17 * log2(e)**2)``: the variance of the logarithm of one squared Gaussian."""

WIDE = 32
"""Rows of fewer columns say too little of how far rows differ."""

MOST_ROWS = 32
"""So many rows their mean square deviation remembers, about."""

FEW_ROWS, SOME_ROWS = 8, 48
"""Below the first a column's energy is a guess, from the second on it is known well."""

LEAST_LEANING = -11 << 7
LEANINGS = 4
"""A column has a nonzero mean where the square of it is this share of its energy, a logarithm."""

FIRST_LEANING = 3
CONTEXTS = FIRST_LEANING + 2 * LEANINGS
"""Few, some and many rows; then how far its mean is from zero, for either side."""

MAX_LOGARITHM = 12 << 8
MAX_ENERGY = 1 << 40
MAX_SUM = 1 << 60
MAX_LEVEL_COUNT = 1 << 18
LARGEST_COUNT = (1 << COUNT_BITS) - 1


class Coder(NamedTuple):
    """
    An arithmetic coder.

    Attributes:
        low: The interval's lower end.
        high: Its upper end.
        value: What is decoded within it.
        position: How many bytes came before.
        data: What is read from or written to; what does not fit is not written.
        decoding: Which of the two.
    """

    low: int
    high: int
    value: int
    position: int
    data: Symbols
    decoding: bool


class Model(NamedTuple):
    """
    What is known about symbols.

    Attributes:
        trellis: Parity and followers of each state.
        spacing: Distance of two points of a state.
        shifts: How many low bits are coded after the cell, for each bucket.
        first: What probabilities begin as, for each bucket, parity and node.
        slots: Probabilities for each context, bucket, parity and node; 0 until seen.
        level: int64, what is known of rows.
    """

    trellis: NDArray[np.int32]
    spacing: int
    shifts: Integers
    first: Slots
    slots: Slots
    level: Integers


@jit()
def logarithm(value: int) -> int:
    """Return the logarithm of 1 or more."""
    doubling = 8
    if value < 256:
        value <<= 8
        doubling = 0
    while value >= 1 << 17:
        value >>= 8
        doubling += 8
    for places in (4, 2, 1, 1):
        if value >> 8 + places:
            value >>= places
            doubling += places
    return (doubling << 8) + int(LOGARITHMS[value - 256])


@jit()
def divided(energy: int, log: int) -> int:
    """Divide an energy by the power of two with this logarithm."""
    log = min(max(log, -MAX_LOGARITHM), MAX_LOGARITHM)
    scaled = energy * int(POWERS[log & 255] >> 14)
    doublings = log >> 8
    return scaled >> doublings if doublings >= 0 else min(scaled << -doublings, MAX_ENERGY)


@jit(inline="always")
def code_bit(bit: int, slots: Slots, first: Slots, node: int, coder: Coder) -> tuple[int, Coder]:
    """Code a bit with the probability in a slot, which learns from it; return it and the coder."""
    low, high, value, position, data, decoding = coder
    slot = np.int64(slots[node] or first[node])
    chance, count = slot >> COUNT_BITS, slot & LARGEST_COUNT
    share = min(max(int(chance >> 6), 8), (1 << 16) - 8)
    middle = low + ((high - low) * share >> 16)
    if decoding:
        bit = int(value <= middle)
    if bit:
        high = middle
        chance += ((1 << 22) - chance) * RATES[count] >> 16
    else:
        low = middle + 1
        chance -= chance * RATES[count] >> 16
    slots[node] = np.uint32(chance << COUNT_BITS | min(count + 1, LARGEST_COUNT))
    while (low ^ high) >> 24 == 0:
        # Write a byte, or read the one four places on; 0 where there is none.
        if decoding:
            following = np.int64(data[position + 4]) if position + 4 < len(data) else 0
            value = (value & 0xFFFFFF) << 8 | int(following)
        elif position < len(data):
            data[position] = low >> 24
        position += 1
        low = (low & 0xFFFFFF) << 8
        high = (high & 0xFFFFFF) << 8 | 0xFF
    return bit, Coder(low, high, value, position, data, decoding)


@jit(inline="always")
def code_magnitude(  # noqa: PLR0917 - numba knows no keywords
    magnitude: int, largest: int, shift: int, slots: Slots, first: Slots, coder: Coder
) -> tuple[int, Coder]:
    """Code a number from 0 to ``largest``: its cell, then its low bits; return it and the coder."""
    cell, last = 0, largest >> shift
    while cell < last:
        node = CELL_NODES + min(cell, CELLS - 1)
        more, coder = code_bit(int(magnitude >> shift > cell), slots, first, node, coder)
        if not more:
            break
        cell += 1
    nodes = REFINING_NODES + (min(cell, REFINED_CELLS - 1) << MAX_SHIFT)
    branch = 1
    for place in range(shift - 1, -1, -1):
        bit, coder = code_bit(magnitude >> place & 1, slots, first, nodes + branch, coder)
        branch = branch << 1 | bit
    return (cell << shift) + branch - (1 << shift), coder


@jit(inline="always")
def code_symbol(  # noqa: PLR0917 - numba knows no keywords
    k: int,
    alphabet: int,
    lean: int,
    down: int,
    bucket: int,
    parity: int,
    model: Model,
    coder: Coder,
) -> tuple[int, Coder]:
    """
    Code ``k``: whether it is 0, its sign, its magnitude; return it and the coder.

    With a context of nonzero mean, ``down`` is 1 if to negative symbols, else 0; magnitudes
    on the side away from the mean have a context of their own.
    """
    slots, first = model.slots[lean, bucket, parity], model.first[bucket, parity]
    shift, nearest = model.shifts[bucket], 1 - parity
    if nearest:
        zero, coder = code_bit(int(k == 0), slots, first, ZERO_NODE, coder)
        if zero:
            return 0, coder
    most_below = alphabet // 2 - 1
    most_above = alphabet - 2 - most_below - nearest
    negative = 1
    if most_above >= 0:
        against, coder = code_bit(int(k < 0) ^ down, slots, first, SIGN_NODE, coder)
        negative = against ^ down
    if lean >= FIRST_LEANING and negative != down:
        slots = model.slots[lean + LEANINGS, bucket, parity]
    magnitude = -1 - k if negative else k - nearest
    most = most_below if negative else most_above
    magnitude, coder = code_magnitude(magnitude, most, shift, slots, first, coder)
    return (-1 - magnitude if negative else nearest + magnitude), coder


@jit()
def _end_row(energy: int, total: int, row_log: int, cols: int, level: Integers) -> None:
    """Learn from a row: from its energy in its columns' units, and from that in its own."""
    if cols < WIDE:
        level[ROW_LOGARITHM] += (row_log - level[ROW_LOGARITHM]) >> 2
    else:
        log = logarithm(energy + 1) - logarithm(cols) - (16 << 8)
        if level[ROWS] == 0:
            level[ROW_LOGARITHM] = log
        deviation = log - level[ROW_LOGARITHM]
        level[ROWS] = min(level[ROWS] + 1, MOST_ROWS)
        level[ROW_LOGARITHM] += deviation >> 3
        level[ROW_VARIANCE] += (deviation * deviation - level[ROW_VARIANCE]) // level[ROWS]
        excess = level[ROW_VARIANCE] - SAMPLING // cols
        level[ROW_PRIOR] = min(max(SAMPLING // max(excess, 1), 1), MOST_PRIOR)
    level[ENERGY] += total
    level[COUNT] += cols
    while level[COUNT] > MAX_LEVEL_COUNT:
        level[ENERGY] >>= 1
        level[COUNT] >>= 1


@jit(nogil=True)
def code_matrix(symbols: Symbols, alphabet: int, model: Model, coder: Coder) -> tuple[bool, Coder]:
    """
    Code a matrix or decode into it.

    Return whether all symbols are below the alphabet, and the coder.
    """
    rows, cols = symbols.shape
    centre, level, sound = alphabet // 2, model.level, True
    states = np.zeros(cols, np.uint8)
    energies, sums = np.zeros(cols, np.int64), np.zeros(cols, np.int64)
    logarithms = np.array([logarithm(max(count, 1)) for count in range(cols + MOST_PRIOR + 1)])
    for row in range(rows):
        mean = max(level[ENERGY] // level[COUNT], 1)
        col_count = logarithm(row + 1)
        row_log, prior = level[ROW_LOGARITHM], level[ROW_PRIOR] if cols >= WIDE else FIRST_PRIOR
        expected = max(divided(prior, -row_log), 1)
        row_energy, total = expected, 0
        context = 0 if row < FEW_ROWS else 1 if row < SOME_ROWS else 2
        for col in range(cols):
            parity = model.trellis[states[col], 0]
            col_log = logarithm(energies[col] + mean) - col_count - (16 << 8)
            quarters = (col_log + row_log + 32) >> 6
            bucket = min(max(quarters - 4 * LOWEST_OCTAVE, 0), BUCKETS - 1)
            lean, down = context, 0
            if sums[col]:
                leaning = 2 * (logarithm(abs(sums[col])) - col_count) - col_log
                if leaning >= LEAST_LEANING:
                    lean = 2 + min((leaning - LEAST_LEANING >> 9) + 1, LEANINGS)
                    down = int(sums[col] < 0)
            k = symbols[row, col] - centre
            k, coder = code_symbol(k, alphabet, lean, down, bucket, parity, model, coder)
            sound = sound and -centre <= k < alphabet - centre
            symbols[row, col] = k + centre
            point = model.spacing * k + parity
            sums[col] += point
            row_energy = min(row_energy + divided(point * point, col_log), MAX_SUM)
            row_log = logarithm(row_energy) - logarithms[prior + col + 1] - (16 << 8)
            own = divided(point * point, row_log)
            energies[col] = min(energies[col] + own, MAX_SUM)
            total = min(total + own, MAX_SUM)
            states[col] = model.trellis[states[col], 1 + (k & 1)]
        _end_row(row_energy - expected, total, row_log, cols, level)
    return sound, coder
