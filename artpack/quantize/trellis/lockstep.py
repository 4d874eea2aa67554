"""
Viterbi's algorithm for many columns at once, a lane of a vector each.

Arrays have one dimension and indices no sign, for only such loops does Numba turn into vectors:
six to seven times as fast as one column after the other, with the same points.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from artpack.stages.trellis import trellis
from artpack.system.jit import jit

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Words = NDArray[np.uint32]

LANES = 64
"""Columns at once: what they cost in 64 states fits into the first cache, twice."""

FAR = np.float32(1e30)
WORD = 32
"""States whose decisions share a word."""


@cache
def arrivals(states: int) -> Integers:
    """
    Return the two branches into each state.

    Args:
        states: Of the trellis, more than 1.

    Returns:
        int32, shape ``(states, 2)``, read-only: twice the state that a branch comes from, and
        one more if its code is odd; the lesser first.

    >>> arrivals(4).tolist()
    [[0, 3], [4, 7], [1, 2], [5, 6]]

    """
    after = trellis(states)[:, 1:].ravel()
    pairs: Integers = np.argsort(after, kind="stable").reshape(states, 2).astype(np.int32)
    pairs.flags.writeable = False
    return pairs


@jit(nogil=True)
def search_lanes(targets: Floats, table: Integers, branches: Integers, radius: int) -> Integers:
    """
    Find the path of every column with the least squared error.

    Args:
        targets: float32, shape ``(rows, lanes)``, contiguous, in steps.
        table: The trellis.
        branches: Its :func:`arrivals`.
        radius: The largest code.

    Returns:
        int32, the same shape: the points of :func:`~artpack.quantize.trellis.viterbi.search`.

    """
    rows, lanes = targets.shape
    states, words = len(table), -(-len(table) // WORD)
    costs, least = np.full(states * lanes, FAR), np.empty(lanes, np.float32)
    costs[:lanes] = 0
    merged, errors = np.empty(states * lanes, np.float32), np.empty(4 * lanes, np.float32)
    nearest = np.empty((rows, 4 * lanes), np.float32)
    decisions = np.zeros((rows, words * lanes), np.uint32)
    for row in range(rows):
        _find_nearest(targets[row], nearest[row], errors, radius)
        _merge(costs, errors, merged, decisions[row], branches, table)
        _settle(merged, least, costs)
    return _trace(costs, decisions, nearest, branches, table)


@jit(nogil=True)
def lesser(x: np.float32, y: np.float32) -> np.float32:
    """Return the lesser in one instruction: Numba's ``min`` looks for NaN, and for no vectors."""
    return y if y < x else x  # noqa: FURB136


@jit(nogil=True)
def _find_nearest(targets: Floats, nearest: Floats, errors: Floats, radius: int) -> None:
    """Find the nearest point of each of four classes, and its squared error, in every lane."""
    lanes, two = np.uint64(len(targets)), np.float32(2)
    for residue in range(4):
        odd, start = residue >> 1, np.uint64(residue) * lanes
        first, most = np.float32(residue), np.float32(radius - ((radius - odd) & 1))
        for lane in range(lanes):
            code = two * np.rint((targets[lane] - first) / np.float32(4)) + np.float32(odd)
            code = -lesser(most, -lesser(code, most))
            point = two * code + np.float32(residue & 1)
            nearest[start + lane] = point
            errors[start + lane] = (targets[lane] - point) * (targets[lane] - point)


@jit(nogil=True)
def _merge(  # noqa: PLR0917 - numba knows no keywords
    costs: Floats,
    errors: Floats,
    merged: Floats,
    decisions: Words,
    branches: Integers,
    table: Integers,
) -> None:
    """Keep the cheaper branch into each state, of equal ones the first, in every lane."""
    lanes = np.uint64(len(errors) // 4)
    for after in range(len(branches)):
        one, other = branches[after, 0], branches[after, 1]
        a, b = np.uint64(one >> 1) * lanes, np.uint64(other >> 1) * lanes
        error_a = np.uint64(table[one >> 1, 0] + 2 * (one & 1)) * lanes
        error_b = np.uint64(table[other >> 1, 0] + 2 * (other & 1)) * lanes
        to, word = np.uint64(after) * lanes, np.uint64(after // WORD) * lanes
        bit = np.uint32(1) << np.uint32(after % WORD)
        for lane in range(lanes):
            x = costs[a + lane] + errors[error_a + lane]
            y = costs[b + lane] + errors[error_b + lane]
            merged[to + lane] = lesser(x, y)
            decisions[word + lane] |= bit if y < x else np.uint32(0)


@jit(nogil=True)
def _settle(merged: Floats, least: Floats, costs: Floats) -> None:
    """Only differences matter: costs near zero keep their digits."""
    lanes = np.uint64(len(least))
    least[:] = FAR
    for state in range(len(merged) // len(least)):
        at = np.uint64(state) * lanes
        for lane in range(lanes):
            least[lane] = lesser(least[lane], merged[at + lane])
    for state in range(len(merged) // len(least)):
        at = np.uint64(state) * lanes
        for lane in range(lanes):
            costs[at + lane] = merged[at + lane] - least[lane]


@jit(nogil=True)
def _trace(
    costs: Floats, decisions: Words, nearest: Floats, branches: Integers, table: Integers
) -> Integers:
    rows, lanes = len(nearest), nearest.shape[1] // 4
    points, states = np.empty((rows, lanes), np.int32), np.zeros(lanes, np.int64)
    for lane in range(lanes):
        states[lane] = np.argmin(costs[lane::lanes])
    for row in range(rows - 1, -1, -1):
        for lane in range(lanes):
            after = states[lane]
            word = decisions[row, (after // WORD) * lanes + lane]
            branch = branches[after, np.int64(word >> np.uint32(after % WORD)) & 1]
            states[lane] = branch >> 1
            residue = table[branch >> 1, 0] + 2 * (branch & 1)
            points[row, lane] = np.int32(nearest[row, residue * lanes + lane])
    return points
