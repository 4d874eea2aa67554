"""
One matrix of symbols, coded or decoded: the same kernel does both.

A symbol stands for a point of a trellis. How large it will be is guessed from the
points before it in its row and in its column; bit by bit it is then coded with the
probabilities that guesses of this kind have led to so far.

``k`` is a symbol less the centre. Logarithms are in units of ``2**-8`` octaves, sums of
energies (squares of points) in units of ``2**-16``. All of it is in one file because
Numba's cache looks no further.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit
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
from artpack.symbols import Symbols

Slots: TypeAlias = NDArray[np.uint32]

LOW, HIGH, VALUE, POSITION = range(4)
"""The interval, what is decoded within it, and how many bytes came before."""

ENERGY, COUNT, ROW_LOGARITHM = range(3)
"""Energy and number of the points of rows before, and the logarithm that a row begins with."""

ROW_PRIOR = 10
"""So many points just as large as expected are what a row begins with."""

MAX_LOGARITHM = 12 << 8
MAX_ENERGY = 1 << 40
MAX_SUM = 1 << 60
MAX_LEVEL_COUNT = 1 << 18
LARGEST_COUNT = (1 << COUNT_BITS) - 1


class Coder(NamedTuple):
    """
    An arithmetic coder.

    Attributes:
        state: int64, ``LOW``, ``HIGH``, ``VALUE`` and ``POSITION``.
        data: What is read from or written to; what does not fit is not written.
        decoding: Which of the two.
    """

    state: Integers
    data: Symbols
    decoding: bool


class Model(NamedTuple):
    """
    What is known about symbols.

    Attributes:
        trellis: Parity and followers of each state.
        spacing: Distance of two points of a state.
        shifts: How many low bits are coded after the cell, for each bucket.
        slots: Probabilities for each bucket, parity and node.
        level: int64, ``ENERGY``, ``COUNT`` and ``ROW_LOGARITHM``.
    """

    trellis: NDArray[np.int32]
    spacing: int
    shifts: Integers
    slots: Slots
    level: Integers


@njit(cache=True)
def logarithm(value: int) -> int:
    """Return the logarithm of 1 or more."""
    octave = 8
    while value >= 1 << 24:
        value >>= 16
        octave += 16
    while value >= 512:
        value >>= 1
        octave += 1
    while value < 256:
        value <<= 1
        octave -= 1
    return (octave << 8) + int(LOGARITHMS[value - 256])


@njit(cache=True)
def divided(energy: int, log: int) -> int:
    """Divide an energy by the power of two with this logarithm."""
    log = min(max(log, -MAX_LOGARITHM), MAX_LOGARITHM)
    scaled = energy * int(POWERS[log & 255] >> 14)
    octaves = log >> 8
    return scaled >> octaves if octaves >= 0 else min(scaled << -octaves, MAX_ENERGY)


@njit(cache=True)
def code_bit(bit: int, slots: Slots, node: int, coder: Coder) -> int:
    """Code a bit with the probability in a slot, which learns from it; return the bit."""
    state = coder.state
    slot = np.int64(slots[node])
    chance, count = slot >> COUNT_BITS, slot & LARGEST_COUNT
    share = min(max(chance >> 6, 8), (1 << 16) - 8)
    low, high = state[LOW], state[HIGH]
    middle = low + ((high - low) * share >> 16)
    if coder.decoding:
        bit = int(state[VALUE] <= middle)
    if bit:
        high = middle
        chance += ((1 << 22) - chance) * RATES[count] >> 16
    else:
        low = middle + 1
        chance -= chance * RATES[count] >> 16
    slots[node] = np.uint32(chance << COUNT_BITS | min(count + 1, LARGEST_COUNT))
    while (low ^ high) >> 24 == 0:
        _pass_byte(low >> 24, coder)
        low = (low & 0xFFFFFF) << 8
        high = (high & 0xFFFFFF) << 8 | 0xFF
    state[LOW], state[HIGH] = low, high
    return bit


@njit(cache=True)
def _pass_byte(byte: int, coder: Coder) -> None:
    """Write a byte, or read the one four places on; 0 where there is none."""
    state, data = coder.state, coder.data
    position = state[POSITION]
    if coder.decoding:
        following = np.int64(data[position + 4]) if position + 4 < len(data) else 0
        state[VALUE] = (state[VALUE] & 0xFFFFFF) << 8 | following
    elif position < len(data):
        data[position] = byte
    state[POSITION] = position + 1


@njit(cache=True)
def code_magnitude(magnitude: int, largest: int, shift: int, slots: Slots, coder: Coder) -> int:
    """Code a number from 0 to ``largest``: its cell, then its low bits; return it."""
    cell, last = 0, largest >> shift
    while cell < last:
        node = CELL_NODES + min(cell, CELLS - 1)
        if not code_bit(int(magnitude >> shift > cell), slots, node, coder):
            break
        cell += 1
    first = REFINING_NODES + (min(cell, REFINED_CELLS - 1) << MAX_SHIFT)
    branch = 1
    for place in range(shift - 1, -1, -1):
        branch = branch << 1 | code_bit(magnitude >> place & 1, slots, first + branch, coder)
    return (cell << shift) + branch - (1 << shift)


@njit(cache=True)
def code_symbol(  # noqa: PLR0917 - numba knows no keywords
    k: int, alphabet: int, parity: int, shift: int, slots: Slots, coder: Coder
) -> int:
    """Code ``k``: whether it is 0, its sign, its magnitude; return it."""
    if parity == 0 and code_bit(int(k == 0), slots, ZERO_NODE, coder):
        return 0
    most_below = alphabet // 2 - 1
    most_above = alphabet - 3 - most_below + parity
    if most_above < 0 or code_bit(int(k < 0), slots, SIGN_NODE, coder):
        return -1 - code_magnitude(-1 - k, most_below, shift, slots, coder)
    nearest = 1 - parity
    return nearest + code_magnitude(k - nearest, most_above, shift, slots, coder)


@njit(cache=True)
def code_matrix(symbols: Symbols, alphabet: int, model: Model, coder: Coder) -> bool:
    """Code a matrix or decode into it; return whether all symbols are below the alphabet."""
    rows, cols = symbols.shape
    centre, level, sound = alphabet // 2, model.level, True
    states, energies = np.zeros(cols, np.uint8), np.zeros(cols, np.int64)
    row_counts = np.array([logarithm(ROW_PRIOR + col) for col in range(cols + 1)])
    for row in range(rows):
        mean = max(level[ENERGY] // level[COUNT], 1)
        col_count = logarithm(row + 1)
        row_log = level[ROW_LOGARITHM]
        row_energy = max(divided(ROW_PRIOR, -row_log), 1)
        total = 0
        for col in range(cols):
            parity = model.trellis[states[col], 0]
            col_log = logarithm(energies[col] + mean) - col_count - (16 << 8)
            quarters = (col_log + row_log + 32) >> 6
            bucket = min(max(quarters - 4 * LOWEST_OCTAVE, 0), BUCKETS - 1)
            slots, shift = model.slots[bucket, parity], model.shifts[bucket]
            k = code_symbol(symbols[row, col] - centre, alphabet, parity, shift, slots, coder)
            sound = sound and -centre <= k < alphabet - centre
            symbols[row, col] = k + centre
            energy = (model.spacing * k + parity) ** 2
            row_energy = min(row_energy + divided(energy, col_log), MAX_SUM)
            row_log = logarithm(row_energy) - row_counts[col + 1] - (16 << 8)
            own = divided(energy, row_log)
            energies[col] = min(energies[col] + own, MAX_SUM)
            total = min(total + own, MAX_SUM)
            states[col] = model.trellis[states[col], 1 + (k & 1)]
        level[ENERGY] += total
        level[COUNT] += cols
        while level[COUNT] > MAX_LEVEL_COUNT:
            level[ENERGY] >>= 1
            level[COUNT] >>= 1
        level[ROW_LOGARITHM] += (row_log - level[ROW_LOGARITHM]) >> 2
    return sound
