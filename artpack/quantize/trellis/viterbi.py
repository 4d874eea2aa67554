"""
The points of a trellis that lie closest to given numbers: Viterbi's algorithm.

Source: Viterbi (1967); for quantizing, Marcellin and Fischer, "Trellis coded
quantization" (1990).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.trellis.lockstep import FAR, LANES, arrivals, lesser, search_lanes
from artpack.quantize.trellis.pairs import pairs
from artpack.stages.trellis import trellis
from artpack.system.jit import jit

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Words = NDArray[np.uint32]
Bytes = NDArray[np.uint8]


def search_columns(targets: Floats, states: int, radius: int) -> Integers:
    """
    Find the points of every column with the least squared error.

    Args:
        targets: float32, shape ``(rows, cols)``, in steps.
        states: Of the trellis that runs down each column.
        radius: The largest code; see :func:`search`.

    Returns:
        int32, the same shape.

    >>> search_columns(np.array([[0.9], [2.2], [-1.4]], np.float32), 4, 31).ravel().tolist()
    [0, 2, -1]

    """
    if states == 1:
        return search(targets, states, radius)
    points = np.empty(targets.shape, np.int32)
    for col in range(0, targets.shape[1], LANES):
        lanes = np.ascontiguousarray(targets[:, col : col + LANES])
        points[:, col : col + LANES] = search_lanes(
            lanes, trellis(states), arrivals(states), radius
        )
    return points


def search(targets: Floats, states: int, radius: int) -> Integers:
    """
    Find the path through a trellis with the least squared error.

    Args:
        targets: float32, shape ``(rows,)``, in steps; with one state, any shape.
        states: Of the trellis; 1 rounds, half to even.
        radius: The largest code: on the plain grid points reach as far, on a trellis
            up to ``2 * radius``, or one further where a state is odd.

    Returns:
        int32, the same shape: points that follow the trellis from state 0.

    """
    if states == 1:
        return np.rint(targets).clip(-radius, radius).astype(np.int32)
    return _viterbi(targets, *pairs(states), radius)


@jit(nogil=True)
def _viterbi(targets: Floats, parities: Integers, sources: Words, radius: int) -> Integers:
    """
    Search one column, all states of a row together.

    A state of parity p allows the points ``p`` and ``p + 2`` modulo 4, the even and the
    odd codes: so of all points only the nearest of each of four classes matter.
    """
    rows, states = len(targets), np.uint64(len(parities))
    costs, merged = np.full(states, FAR), np.empty(states, np.float32)
    costs[0] = 0
    decisions = np.empty(rows * len(parities), np.uint8)
    nearest, errors = np.empty((rows, 4), np.int32), np.empty(4, np.float32)
    for row in range(rows):
        for residue in range(4):
            point = nearest_point(targets[row], residue, radius)
            nearest[row, residue] = point
            errors[residue] = (targets[row] - point) ** 2
        _merge(costs, errors, parities, merged, decisions[row * len(parities) :])
        least = FAR
        for i in range(states):
            least = lesser(merged[i], least)
        # Only differences matter: costs near zero keep their digits.
        for to in range(states):
            costs[to] = merged[np.uint64(sources[to])] - least
    return _trace(decisions, nearest, parities, sources, np.argmin(costs))


@jit(nogil=True, inline="always")
def _merge(
    costs: Floats, errors: Floats, parities: Integers, merged: Floats, decisions: Bytes
) -> None:
    """Keep the cheaper branch into each state, of equal ones the even one."""
    half = np.uint64(len(parities) // 2)
    evens, odds = errors[:2], errors[2:]
    for one in range(half):
        other, odd = one + half, parities[one] != 0
        whole, halves = evens[1] if odd else evens[0], odds[1] if odd else odds[0]
        x, y = costs[one] + whole, costs[other] + halves
        merged[one], decisions[one] = lesser(x, y), np.uint8(y < x)
        x, y = costs[other] + whole, costs[one] + halves
        merged[other], decisions[other] = lesser(x, y), np.uint8(y < x)


@jit(nogil=True, inline="always")
def nearest_point(target: float, residue: int, radius: int) -> int:
    """Return the point next to the target that is ``residue`` modulo 4, within the radius."""
    parity, odd = residue & 1, residue >> 1
    most = radius - ((radius - odd) & 1)
    code = 2 * int(np.rint((target - residue) / 4)) + odd
    return 2 * min(max(code, -most), most) + parity


@jit(nogil=True)
def _trace(
    decisions: Bytes, nearest: Integers, parities: Integers, sources: Words, place: Any
) -> Integers:
    points, states = np.empty(len(nearest), np.int32), len(parities)
    for row in range(len(nearest) - 1, -1, -1):
        place = np.int64(sources[place])
        odd = np.int64(decisions[row * states + place])
        points[row] = nearest[row, parities[place] + 2 * odd]
        place = (place + odd * (states // 2)) % states
    return points
