"""
The points of a trellis that lie closest to given numbers: Viterbi's algorithm.

Source: Viterbi (1967); for quantizing, Marcellin and Fischer, "Trellis coded
quantization" (1990).
"""

import numpy as np
from numpy.typing import NDArray

from artpack.quantize.trellis.lockstep import FAR, LANES, arrivals, search_lanes
from artpack.stages.trellis import trellis
from artpack.system.jit import jit

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


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
    return _viterbi(targets, trellis(states), radius)


@jit(nogil=True)
def _viterbi(targets: Floats, table: Integers, radius: int) -> Integers:
    """
    Search one column.

    A state of parity p allows the points ``p`` and ``p + 2`` modulo 4, the even and the
    odd codes: so of all points only the nearest of each of four classes matter.
    """
    rows, states = len(targets), len(table)
    costs = np.full(states, FAR)
    costs[0] = 0
    next_costs = np.empty(states, np.float32)
    came_from = np.empty((rows, states), np.int32)
    nearest = np.empty((rows, 4), np.int32)
    errors = np.empty(4, np.float32)
    for row in range(rows):
        for residue in range(4):
            point = nearest_point(targets[row], residue, radius)
            nearest[row, residue] = point
            errors[residue] = (targets[row] - point) ** 2
        next_costs[:] = FAR
        for state in range(states):
            parity = table[state, 0]
            for odd in range(2):
                cost, after = costs[state] + errors[parity + 2 * odd], table[state, 1 + odd]
                if cost < next_costs[after]:
                    next_costs[after] = cost
                    came_from[row, after] = 2 * state + odd
        # Only differences matter: costs near zero keep their digits.
        costs[:] = next_costs - next_costs.min()
    return _trace(came_from, nearest, table, int(np.argmin(costs)))


@jit(nogil=True, inline="always")
def nearest_point(target: float, residue: int, radius: int) -> int:
    """Return the point next to the target that is ``residue`` modulo 4, within the radius."""
    parity, odd = residue & 1, residue >> 1
    most = radius - ((radius - odd) & 1)
    code = 2 * int(np.rint((target - residue) / 4)) + odd
    return 2 * min(max(code, -most), most) + parity


@jit(nogil=True)
def _trace(came_from: Integers, nearest: Integers, table: Integers, state: int) -> Integers:
    points = np.empty(len(came_from), np.int32)
    for row in range(len(came_from) - 1, -1, -1):
        branch = came_from[row, state]
        state = branch >> 1
        points[row] = nearest[row, table[state, 0] + 2 * (branch & 1)]
    return points
