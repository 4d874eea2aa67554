"""
Viterbi's algorithm where errors of a column's rows add up: noise is shaped down the column.

Each survivor carries its own last errors. What lies further back is settled: survivors
that disagree with the best one there are dropped.

Source: per-survivor processing, Raheli, Polydoros and Tzou (1995); the M-algorithm for
quantizing with noise shaping, Janssen and Reefman (2003).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from artpack.quantize.trellis_search import FAR, nearest_point
from artpack.trellis import trellis

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

MEMORY = 48
"""Rows after which an error is settled: about five times what a trellis of 64 states remembers.

With 16, 64 states lost 0.08 of the 0.21 bits that they save; with 48 they lose 0.02.
"""


def search_shaped(targets: Floats, spread: Floats, states: int, radius: int) -> Integers:
    """
    Find points down one column so that the shaped errors are small.

    Args:
        targets: float32, shape ``(rows,)``, in steps.
        spread: float32, shape ``(rows, rows)``, contiguous, zero on and below the diagonal:
            the shaped error of row j is its own error plus, for each row i above it,
            ``spread[i, j]`` times that row's.
        states: Of the trellis.
        radius: The largest code, as in :func:`~artpack.quantize.trellis_search.search`.

    Returns:
        int32, shape ``(rows,)``: points that follow the trellis from state 0.

    """
    if states == 1:
        return _babai(targets, spread, radius)
    return _survivors(targets, spread, trellis(states), radius)


@njit(cache=True, nogil=True)
def _babai(targets: Floats, spread: Floats, radius: int) -> Integers:
    rows = len(targets)
    points, shift = np.empty(rows, np.int32), np.zeros(rows, np.float32)
    for row in range(rows):
        point = int(np.rint(targets[row] - shift[row]))
        points[row] = min(max(point, -radius), radius)
        shift[row + 1 :] += spread[row, row + 1 :] * (points[row] - targets[row])
    return points


@njit(cache=True, nogil=True)
def _survivors(targets: Floats, spread: Floats, table: Integers, radius: int) -> Integers:
    rows, states = len(targets), len(table)
    costs = np.full(states, FAR)
    costs[0] = 0
    errors = np.zeros((states, MEMORY), np.float32)
    shift, weights = np.zeros(rows, np.float32), np.zeros(MEMORY, np.float32)
    branches = np.empty((rows, 2, states), np.int32)
    for row in range(rows):
        slot = row % MEMORY
        if row >= MEMORY:
            settled = errors[np.argmin(costs), slot]
            costs[errors[:, slot] != settled] = FAR
            shift[row:] += spread[row - MEMORY, row:] * settled
        weights[slot] = 0
        for back in range(1, min(row, MEMORY - 1) + 1):
            weights[(row - back) % MEMORY] = spread[row - back, row]
        shaped = targets[row] - shift[row] - _products(errors, weights)
        costs = _advance(costs, shaped, table, radius, branches[row])
        errors = errors[branches[row, 1] >> 1]
        errors[:, slot] = branches[row, 0] - targets[row]
    state = int(np.argmin(costs))
    points = np.empty(rows, np.int32)
    for row in range(rows - 1, -1, -1):
        points[row], state = branches[row, 0, state], branches[row, 1, state] >> 1
    return points


@njit(cache=True, nogil=True, fastmath=True)
def _products(errors: Floats, weights: Floats) -> Floats:
    products = np.empty(len(errors), np.float32)
    for state in range(len(errors)):
        total = np.float32(0)
        for i in range(MEMORY):
            total += errors[state, i] * weights[i]
        products[state] = total
    return products


@njit(cache=True, nogil=True)
def _advance(
    costs: Floats, shaped: Floats, table: Integers, radius: int, branches: Integers
) -> Floats:
    """
    Let every survivor take both of its branches, and return the costs of those that win.

    Into ``branches``, (2, states), go their points, and the states they came from times 2
    plus which of the two branches it was.
    """
    after_costs = np.full(len(costs), FAR)
    branches[:] = 0
    for state in range(len(costs)):
        if costs[state] >= FAR:
            continue
        for odd in range(2):
            point = nearest_point(shaped[state], table[state, 0] + 2 * odd, radius)
            cost, after = costs[state] + (shaped[state] - point) ** 2, table[state, 1 + odd]
            if cost < after_costs[after]:
                after_costs[after] = cost
                branches[0, after], branches[1, after] = point, 2 * state + odd
    least = after_costs.min()
    for state in range(len(costs)):
        if after_costs[state] < FAR:
            after_costs[state] -= least
    return after_costs
